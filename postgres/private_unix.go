//go:build unix && !linux

package postgres

import "syscall"

// dieWithParent cannot be had here: after a kill -9 of its parent the server
// runs on until the next start in the same folder stops it (see settle).
func dieWithParent(*syscall.SysProcAttr, syscall.Signal) {}
