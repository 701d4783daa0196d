package main

import (
	"context"
	"encoding/json"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	"k8s.io/kubernetes/pkg/apis/autoscaling"
	_ "k8s.io/kubernetes/pkg/apis/autoscaling/install"
	strategy "k8s.io/kubernetes/pkg/registry/autoscaling/horizontalpodautoscaler"
)

// admit makes of a written HPA what the API server stores: defaults filled in, fields behind closed gates dropped,
// validated, and through JSON once, because a quantity changes its double when it becomes canonical. Its status, which
// a creation would clear, is kept: it is what an earlier controller left.
func admit(raw []byte) (*autoscalingv2.HorizontalPodAutoscaler, error) {
	var fields map[string]json.RawMessage
	if err := readStrictly(raw, &fields); err != nil {
		return nil, problem("hpa: %v", err)
	}
	setIfAbsent(fields, "apiVersion", "autoscaling/v2")
	setIfAbsent(fields, "kind", "HorizontalPodAutoscaler")
	complete, err := json.Marshal(fields)
	if err != nil {
		return nil, err
	}
	var asWritten autoscalingv2.HorizontalPodAutoscaler
	if err := readStrictly(complete, &asWritten); err != nil {
		return nil, problem("hpa: %v", err)
	}
	if asWritten.Name == "" {
		return nil, problem("hpa: it has no name")
	}
	if asWritten.APIVersion != "autoscaling/v2" {
		return nil, problem("hpa: %s is not autoscaling/v2", asWritten.APIVersion)
	}
	decoded, err := runtime.Decode(legacyscheme.Codecs.UniversalDecoder(autoscaling.SchemeGroupVersion), complete)
	if err != nil {
		return nil, problem("hpa: %v", err)
	}
	internal, ok := decoded.(*autoscaling.HorizontalPodAutoscaler)
	if !ok {
		return nil, problem("hpa: it is a %T", decoded)
	}
	if internal.Namespace == "" {
		internal.Namespace = metav1.NamespaceDefault
	}
	ctx := genericapirequest.WithNamespace(context.Background(), internal.Namespace)
	ctx = genericapirequest.WithRequestInfo(ctx, &genericapirequest.RequestInfo{
		IsResourceRequest: true, Verb: "create", APIGroup: "autoscaling", APIVersion: "v2",
		Resource: "horizontalpodautoscalers", Namespace: internal.Namespace,
	})
	rest.FillObjectMetaSystemFields(internal)
	if err := rest.BeforeCreate(strategy.Strategy, ctx, internal); err != nil {
		return nil, err
	}
	encoder := legacyscheme.Codecs.LegacyCodec(autoscalingv2.SchemeGroupVersion)
	stored, err := runtime.Encode(encoder, internal)
	if err != nil {
		return nil, err
	}
	var hpa autoscalingv2.HorizontalPodAutoscaler
	if err := readStrictly(stored, &hpa); err != nil {
		return nil, err
	}
	status, err := json.Marshal(asWritten.Status)
	if err != nil {
		return nil, err
	}
	hpa.Status = autoscalingv2.HorizontalPodAutoscalerStatus{}
	return &hpa, readStrictly(status, &hpa.Status)
}

func setIfAbsent(fields map[string]json.RawMessage, name, value string) {
	switch string(fields[name]) {
	case "", "null", `""`:
		fields[name] = json.RawMessage(`"` + value + `"`)
	}
}
