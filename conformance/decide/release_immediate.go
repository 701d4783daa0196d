//go:build !waits

package main

import (
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	"k8s.io/kubernetes/pkg/features"
)

// From 1.37 on a controller syncs as soon as it has seen the HPA.
const firstSyncWaits = false

// syncsAtOnce says whether a controller syncs as soon as it has seen this edit.
func syncsAtOnce(old, edited *autoscalingv2.HorizontalPodAutoscaler) bool {
	return utilfeature.DefaultFeatureGate.Enabled(features.HPAGeneration) && old.Generation != edited.Generation
}
