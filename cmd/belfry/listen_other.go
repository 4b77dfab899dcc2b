//go:build !linux

package main

import "syscall"

// boundUnanswered does nothing: how long a connection waits for a silent peer is the system's to say.
func boundUnanswered(_, _ string, _ syscall.RawConn) error { return nil }
