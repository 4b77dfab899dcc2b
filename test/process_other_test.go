//go:build !linux

package test

import "syscall"

func dieWithUs(*syscall.SysProcAttr) {}
