package main

import (
	"fmt"
	"os"
	"runtime/pprof"
)

// profileTo profiles this process until the returned function is called; "" profiles nothing. Samples carry the side
// whose turn it was: go tool pprof -tagfocus side=Belfry.
func profileTo(file string) (stop func(), err error) {
	if file == "" {
		return func() {}, nil
	}
	f, err := os.Create(file)
	if err != nil {
		return nil, fmt.Errorf("-cpuprofile: %w", err)
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return nil, err
	}
	return func() {
		pprof.StopCPUProfile()
		_ = f.Close() // a profile that could not be written is reported by go tool pprof
	}, nil
}
