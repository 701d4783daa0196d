//go:build !waits

package main

// From 1.37 on a controller syncs as soon as it has seen the HPA.
const firstSyncWaits = false
