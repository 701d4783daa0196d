package main

import (
	"context"
	"encoding/json"
	"errors"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
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
	if asWritten.APIVersion != "autoscaling/v2" {
		return nil, problem("hpa: %s is not autoscaling/v2", asWritten.APIVersion)
	}
	internal, err := decodeInternal(complete)
	if err != nil {
		return nil, problem("hpa: %v", err)
	}
	if internal.Namespace == "" {
		internal.Namespace = metav1.NamespaceDefault
	}
	ctx := requestContext(internal.Namespace, "create")
	rest.FillObjectMetaSystemFields(internal)
	if internal.GenerateName != "" && internal.Name == "" {
		internal.Name = strategy.Strategy.GenerateName(internal.GenerateName)
	}
	if err := rest.BeforeCreate(strategy.Strategy, ctx, internal); err != nil {
		return nil, err
	}
	hpa, err := store(internal)
	if err != nil {
		return nil, err
	}
	status, err := json.Marshal(asWritten.Status)
	if err != nil {
		return nil, err
	}
	hpa.Status = autoscalingv2.HorizontalPodAutoscalerStatus{}
	return hpa, readStrictly(status, &hpa.Status)
}

// store is the way through etcd and back.
func store(internal *autoscaling.HorizontalPodAutoscaler) (*autoscalingv2.HorizontalPodAutoscaler, error) {
	stored, err := runtime.Encode(legacyscheme.Codecs.LegacyCodec(autoscalingv2.SchemeGroupVersion), internal)
	if err != nil {
		return nil, err
	}
	var hpa autoscalingv2.HorizontalPodAutoscaler
	return &hpa, readStrictly(stored, &hpa)
}

// edit makes of a stored HPA and another spec what the API server stores after the update; its status stays.
func edit(old *autoscalingv2.HorizontalPodAutoscaler, raw []byte) (*autoscalingv2.HorizontalPodAutoscaler, error) {
	var written struct {
		Spec json.RawMessage `json:"spec"`
	}
	if err := readStrictly(raw, &written); err != nil {
		return nil, problem("hpa: %v", err)
	}
	if len(written.Spec) == 0 || string(written.Spec) == "null" {
		return nil, problem("hpa: it has no spec")
	}
	before, err := json.Marshal(old)
	if err != nil {
		return nil, err
	}
	var fields map[string]json.RawMessage
	if err := readStrictly(before, &fields); err != nil {
		return nil, err
	}
	internalOld, err := decodeInternal(before)
	if err != nil {
		return nil, err
	}
	fields["spec"] = written.Spec
	after, err := json.Marshal(fields)
	if err != nil {
		return nil, err
	}
	internal, err := decodeInternal(after)
	if err != nil {
		return nil, problem("hpa: %v", err)
	}
	ctx := requestContext(internal.Namespace, "update")
	internal.ResourceVersion, internalOld.ResourceVersion = "1", "1"
	if err := rest.BeforeUpdate(strategy.Strategy, ctx, internal, internalOld); err != nil {
		return nil, err
	}
	internal.ResourceVersion = ""
	hpa, err := store(internal)
	if err != nil {
		return nil, err
	}
	hpa.Status = *old.Status.DeepCopy()
	return hpa, nil
}

func decodeInternal(data []byte) (*autoscaling.HorizontalPodAutoscaler, error) {
	decoded, err := runtime.Decode(legacyscheme.Codecs.UniversalDecoder(autoscaling.SchemeGroupVersion), data)
	if err != nil {
		return nil, err
	}
	internal, ok := decoded.(*autoscaling.HorizontalPodAutoscaler)
	if !ok {
		return nil, problem("it is a %T", decoded)
	}
	return internal, nil
}

func requestContext(namespace, verb string) context.Context {
	ctx := genericapirequest.WithNamespace(context.Background(), namespace)
	return genericapirequest.WithRequestInfo(ctx, &genericapirequest.RequestInfo{
		IsResourceRequest: true, Verb: verb, APIGroup: "autoscaling", APIVersion: "v2",
		Resource: "horizontalpodautoscalers", Namespace: namespace,
	})
}

// admitted is what becomes of an HPA at the API server: what it stores, or every cause for which it refuses it.
type admitted struct {
	Stored *autoscalingv2.HorizontalPodAutoscaler `json:"stored,omitempty"`
	Causes []metav1.StatusCause                   `json:"causes,omitempty"`
}

// admitCase answers a line with `admit`, an HPA, and perhaps `over`, the one that it replaces. An error that has no
// causes (what cannot be read at all) is an error.
func admitCase(c *caseLine) (*admitted, error) {
	var hpa *autoscalingv2.HorizontalPodAutoscaler
	var err error
	if len(c.Over) == 0 {
		hpa, err = admit(c.Admit)
	} else {
		var old *autoscalingv2.HorizontalPodAutoscaler
		if old, err = admit(c.Over); err != nil {
			return nil, problem("over: %v", err)
		}
		hpa, err = edit(old, c.Admit)
	}
	if err == nil {
		return &admitted{Stored: hpa}, nil
	}
	var status *apierrors.StatusError
	if errors.As(err, &status) && status.ErrStatus.Details != nil && len(status.ErrStatus.Details.Causes) > 0 {
		return &admitted{Causes: status.ErrStatus.Details.Causes}, nil
	}
	return nil, err
}

func setIfAbsent(fields map[string]json.RawMessage, name, value string) {
	switch string(fields[name]) {
	case "", "null", `""`:
		fields[name] = json.RawMessage(`"` + value + `"`)
	}
}
