//go:build waits

package main

import autoscalingv2 "k8s.io/api/autoscaling/v2"

// Up to 1.36 a controller's first sync comes one period after it has seen the HPA.
const firstSyncWaits = true

// syncsAtOnce: an edit waits for the sync that is due.
func syncsAtOnce(_, _ *autoscalingv2.HorizontalPodAutoscaler) bool { return false }
