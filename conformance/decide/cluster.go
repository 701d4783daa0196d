package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	autoscalingv1 "k8s.io/api/autoscaling/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	autoscalingclient "k8s.io/client-go/kubernetes/typed/autoscaling/v2"
	coreclient "k8s.io/client-go/kubernetes/typed/core/v1"
	autoscalinglisters "k8s.io/client-go/listers/autoscaling/v2"
	corelisters "k8s.io/client-go/listers/core/v1"
	scaleclient "k8s.io/client-go/scale"
	"k8s.io/client-go/tools/cache"
	metricsclient "k8s.io/kubernetes/pkg/controller/podautoscaler/metrics"
)

// cluster is all that the controller sees: the one HPA, the target's scale, the pods and the metrics of the step that
// is being played. It is touched by one goroutine at a time: the story while the controller sleeps, the controller
// while the story sleeps.
type cluster struct {
	now  *step
	hpas cache.Indexer
	pods []*corev1.Pod

	handler cache.ResourceEventHandler

	namespace, name string // of the HPA of the story

	replicas       int32
	statusReplicas *int32
	selector       string

	late      time.Duration // what reading the scale takes, once a step
	syncs     int
	conflicts int32
	updated   bool
	events    []string
	crash     string
}

func newCluster(hpa *autoscalingv2.HorizontalPodAutoscaler) *cluster {
	index := cache.Indexers{cache.NamespaceIndex: cache.MetaNamespaceIndexFunc}
	return &cluster{
		hpas:      cache.NewIndexer(cache.MetaNamespaceKeyFunc, index),
		namespace: hpa.Namespace, name: hpa.Name,
	}
}

// hpa is the HPA of the story as it is stored. Readers must not change it.
func (c *cluster) hpa() *autoscalingv2.HorizontalPodAutoscaler {
	found, exists, err := c.hpas.GetByKey(c.namespace + "/" + c.name)
	if err != nil || !exists {
		panic(fmt.Sprintf("the HPA of the story is gone: %v", err))
	}
	return found.(*autoscalingv2.HorizontalPodAutoscaler)
}

// otherKind is the kind of what other HPAs scale.
const otherKind = "TargetOfAnother"

// anotherHPA selects pods and does nothing else: its one metric has no answer.
func anotherHPA(name, namespace string) *autoscalingv2.HorizontalPodAutoscaler {
	one := resource.MustParse("1")
	return &autoscalingv2.HorizontalPodAutoscaler{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace, Generation: 1},
		Spec: autoscalingv2.HorizontalPodAutoscalerSpec{
			ScaleTargetRef: autoscalingv2.CrossVersionObjectReference{Kind: otherKind, Name: name, APIVersion: "example.com/v1"},
			MaxReplicas:    1,
			Metrics: []autoscalingv2.MetricSpec{{
				Type: autoscalingv2.ExternalMetricSourceType,
				External: &autoscalingv2.ExternalMetricSource{
					Metric: autoscalingv2.MetricIdentifier{Name: "of-another-hpa"},
					Target: autoscalingv2.MetricTarget{Type: autoscalingv2.AverageValueMetricType, AverageValue: &one},
				},
			}},
		},
	}
}

// scaleOfAnother selects what the step says; an HPA that the step does not name selects nothing.
func (c *cluster) scaleOfAnother(name string) *autoscalingv1.Scale {
	selector := "no-pod-has,!no-pod-has"
	for _, other := range c.now.OtherHPAs {
		if other.Name == name {
			selector = c.selector
			if other.Selector != nil {
				selector = *other.Selector
			}
		}
	}
	return &autoscalingv1.Scale{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec:       autoscalingv1.ScaleSpec{Replicas: 1},
		Status:     autoscalingv1.ScaleStatus{Replicas: 1, Selector: selector},
	}
}

func (c *cluster) setPods(pods []corev1.Pod, namespace string) error {
	c.pods = make([]*corev1.Pod, 0, len(pods))
	seen := make(map[string]bool, len(pods))
	for i := range pods {
		pod := &pods[i]
		if pod.Name == "" {
			return problem("a pod has no name")
		}
		if pod.Namespace == "" {
			pod.Namespace = namespace
		}
		if key := pod.Namespace + "/" + pod.Name; seen[key] {
			return problem("the pod %s is there twice", key)
		} else {
			seen[key] = true
		}
		c.pods = append(c.pods, pod)
	}
	return nil
}

// podLister lists the pods in the order in which the case names them. The real one has none, so that which of several
// pods an error names would change from run to run.
type podLister struct{ *cluster }

func (l podLister) List(selector labels.Selector) ([]*corev1.Pod, error) {
	return l.list("", selector), nil
}

func (l podLister) Pods(namespace string) corelisters.PodNamespaceLister {
	return namespacedPods{podLister: l, namespace: namespace}
}

func (l podLister) list(namespace string, selector labels.Selector) []*corev1.Pod {
	var found []*corev1.Pod
	for _, pod := range l.pods {
		if (namespace == "" || pod.Namespace == namespace) && selector.Matches(labels.Set(pod.Labels)) {
			found = append(found, pod)
		}
	}
	return found
}

type namespacedPods struct {
	podLister
	namespace string
}

func (l namespacedPods) List(selector labels.Selector) ([]*corev1.Pod, error) {
	return l.list(l.namespace, selector), nil
}

func (l namespacedPods) Get(name string) (*corev1.Pod, error) {
	for _, pod := range l.pods {
		if pod.Namespace == l.namespace && pod.Name == name {
			return pod, nil
		}
	}
	return nil, problem("there is no pod %s/%s", l.namespace, name)
}

// Informers. Only what the controller asks of them is there; all else is the nil interface's panic, which the judge
// turns into an error answer.

type hpaInformer struct {
	cache.SharedIndexInformer
	*cluster
}

func (i hpaInformer) Informer() cache.SharedIndexInformer { return i }
func (i hpaInformer) Lister() autoscalinglisters.HorizontalPodAutoscalerLister {
	return autoscalinglisters.NewHorizontalPodAutoscalerLister(i.hpas)
}
func (i hpaInformer) AddEventHandlerWithResyncPeriod(h cache.ResourceEventHandler, _ time.Duration) (cache.ResourceEventHandlerRegistration, error) {
	i.cluster.handler = h
	return nil, nil
}
func (i hpaInformer) HasSynced() bool       { return true }
func (i hpaInformer) GetStore() cache.Store { return i.hpas }

type podInformer struct {
	cache.SharedIndexInformer
	*cluster
}

func (i podInformer) Informer() cache.SharedIndexInformer { return i }
func (i podInformer) Lister() corelisters.PodLister       { return podLister{i.cluster} }
func (i podInformer) HasSynced() bool                     { return true }

// Writing the status: the informer sees the new object at once.

type hpaClient struct {
	autoscalingclient.HorizontalPodAutoscalerInterface
	*cluster
}

func (c hpaClient) HorizontalPodAutoscalers(string) autoscalingclient.HorizontalPodAutoscalerInterface {
	return c
}

func (c hpaClient) UpdateStatus(_ context.Context, hpa *autoscalingv2.HorizontalPodAutoscaler, _ metav1.UpdateOptions) (*autoscalingv2.HorizontalPodAutoscaler, error) {
	if c.now.StatusError != nil && hpa.Name == c.name {
		return nil, errors.New(*c.now.StatusError)
	}
	old, exists, err := c.hpas.Get(hpa)
	if err != nil || !exists {
		return nil, fmt.Errorf("the HPA is not there: %v", err)
	}
	stored := old.(*autoscalingv2.HorizontalPodAutoscaler).DeepCopy()
	stored.Status = *hpa.Status.DeepCopy()
	if err := c.hpas.Update(stored); err != nil {
		return nil, err
	}
	c.handler.OnUpdate(old, stored)
	return stored.DeepCopy(), nil
}

// The target's scale.

type scales struct {
	scaleclient.ScaleInterface
	*cluster
}

func (s scales) Scales(string) scaleclient.ScaleInterface { return s }

func (s scales) Get(_ context.Context, kind schema.GroupResource, name string, _ metav1.GetOptions) (*autoscalingv1.Scale, error) {
	if kind.Resource == otherKind {
		return s.scaleOfAnother(name), nil
	}
	if !s.updated {
		// A failed update is followed by another look at the scale within the same sync.
		s.syncs++
		if late := s.late; late > 0 {
			s.late = 0
			time.Sleep(late)
		}
	}
	if s.now.ScaleErrors.Get != nil {
		return nil, errors.New(*s.now.ScaleErrors.Get)
	}
	status := s.replicas
	if s.statusReplicas != nil {
		status = *s.statusReplicas
	}
	return &autoscalingv1.Scale{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec:       autoscalingv1.ScaleSpec{Replicas: s.replicas},
		Status:     autoscalingv1.ScaleStatus{Replicas: status, Selector: s.selector},
	}, nil
}

func (s scales) Update(_ context.Context, _ schema.GroupResource, scale *autoscalingv1.Scale, _ metav1.UpdateOptions) (*autoscalingv1.Scale, error) {
	s.updated = true
	failures := &s.now.ScaleErrors
	if failures.Conflicts > s.conflicts {
		s.conflicts++
		if failures.Replicas != nil {
			// Another writer was quicker.
			s.replicas = *failures.Replicas
		}
		return nil, &apierrors.StatusError{ErrStatus: metav1.Status{
			Status: metav1.StatusFailure, Code: 409, Reason: metav1.StatusReasonConflict, Message: failures.conflictText(),
		}}
	}
	if failures.Conflicts == 0 && failures.Update != nil {
		return nil, errors.New(*failures.Update)
	}
	s.replicas = scale.Spec.Replicas
	return scale, nil
}

type anyMapper struct{ meta.RESTMapper }

func (anyMapper) RESTMappings(kind schema.GroupKind, _ ...string) ([]*meta.RESTMapping, error) {
	return []*meta.RESTMapping{{
		Resource:         schema.GroupVersionResource{Group: kind.Group, Version: "v1", Resource: kind.Kind},
		GroupVersionKind: kind.WithVersion("v1"),
	}}, nil
}

// Events are read from the structured log, before client-go merges repeats and drops floods; the sink only has to be
// content.

type eventSink struct{ coreclient.EventInterface }

func (s eventSink) Events(string) coreclient.EventInterface { return s }
func (s eventSink) CreateWithEventNamespace(e *corev1.Event) (*corev1.Event, error) {
	return e, nil
}
func (s eventSink) CreateWithEventNamespaceWithContext(_ context.Context, e *corev1.Event) (*corev1.Event, error) {
	return e, nil
}
func (s eventSink) UpdateWithEventNamespace(e *corev1.Event) (*corev1.Event, error) { return e, nil }
func (s eventSink) UpdateWithEventNamespaceWithContext(_ context.Context, e *corev1.Event) (*corev1.Event, error) {
	return e, nil
}
func (s eventSink) PatchWithEventNamespace(e *corev1.Event, _ []byte) (*corev1.Event, error) {
	return e, nil
}
func (s eventSink) PatchWithEventNamespaceWithContext(_ context.Context, e *corev1.Event, _ []byte) (*corev1.Event, error) {
	return e, nil
}

// The metrics.

type metricsSource struct{ *cluster }

func (m metricsSource) ask(key string, selector labels.Selector) (metricAnswer, error) {
	if selector != nil {
		if text := selector.String(); text != "" {
			if a, ok := m.now.answers[key+"?"+text]; ok {
				return a, a.problem()
			}
		}
	}
	a, ok := m.now.answers[key]
	if !ok {
		return a, problem("no answer for %s", key)
	}
	return a, a.problem()
}

func (a metricAnswer) problem() error {
	if a.failure != nil {
		return errors.New(*a.failure)
	}
	return nil
}

func perPod(a metricAnswer, err error, api string) (metricsclient.PodMetricsInfo, time.Time, error) {
	if err != nil {
		return nil, time.Time{}, err
	}
	if len(a.pods) == 0 {
		return nil, time.Time{}, problem("no metrics returned from %s metrics API", api)
	}
	now := time.Now()
	info := make(metricsclient.PodMetricsInfo, len(a.pods))
	for name, value := range a.pods {
		info[name] = metricsclient.PodMetric{Timestamp: now, Window: time.Minute, Value: value}
	}
	return info, now, nil
}

func (m metricsSource) GetResourceMetric(_ context.Context, resource corev1.ResourceName, _ string, _ labels.Selector, container string) (metricsclient.PodMetricsInfo, time.Time, error) {
	key := "resource/" + string(resource)
	if container != "" {
		key = "containerResource/" + string(resource) + "/" + container
	}
	a, err := m.ask(key, nil)
	return perPod(a, err, "resource")
}

func (m metricsSource) GetRawMetric(name string, _ string, _ labels.Selector, selector labels.Selector) (metricsclient.PodMetricsInfo, time.Time, error) {
	a, err := m.ask("pods/"+name, selector)
	return perPod(a, err, "custom")
}

func (m metricsSource) GetObjectMetric(name string, _ string, _ *autoscalingv2.CrossVersionObjectReference, selector labels.Selector) (int64, time.Time, error) {
	a, err := m.ask("object/"+name, selector)
	if err != nil {
		return 0, time.Time{}, err
	}
	if a.value == nil {
		return 0, time.Time{}, problem("no answer for object/%s", name)
	}
	return *a.value, time.Now(), nil
}

func (m metricsSource) GetExternalMetric(name string, _ string, selector labels.Selector) ([]int64, time.Time, error) {
	a, err := m.ask("external/"+name, selector)
	if err != nil {
		return nil, time.Time{}, err
	}
	if len(a.series) == 0 {
		return nil, time.Time{}, problem("no metrics returned from external metrics API")
	}
	return a.series, time.Now(), nil
}
