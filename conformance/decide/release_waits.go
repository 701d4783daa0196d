//go:build waits

package main

// Up to 1.36 a controller's first sync comes one period after it has seen the HPA.
const firstSyncWaits = true
