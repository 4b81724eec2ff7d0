//go:build !unix

package load

import "time"

// ownCPU is not known here.
func ownCPU() time.Duration { return 0 }

// checkDescriptors finds nothing: the system has no such limit.
func checkDescriptors(int) []error { return nil }
