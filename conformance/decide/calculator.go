package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"os"
	"reflect"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/kubernetes/pkg/controller/podautoscaler"
	metricsclient "k8s.io/kubernetes/pkg/controller/podautoscaler/metrics"
)

const (
	calculatorNamespace = "default"
	calculatorMetric    = "m"
)

// calculate asks upstream's replica calculator one question.
func calculate(t *testing.T, c *caseLine) (result *calculated, err error) {
	now, err := readTime(c.Now)
	if err != nil {
		return nil, problem("now: %v", err)
	}
	if now.Before(year2000) || now.After(year2262) {
		return nil, problem("now: %s lies before 2000 or after 2262", c.Now)
	}
	source := &fixedMetrics{}
	if err := source.read(c, now); err != nil {
		return nil, err
	}
	selector, err := labels.Parse(c.Selector)
	if err != nil {
		return nil, problem("selector: %v", err)
	}
	world := newCluster(&autoscalingv2.HorizontalPodAutoscaler{})
	if err := world.setPods(c.Pods, calculatorNamespace); err != nil {
		return nil, err
	}
	limits, err := c.tolerances()
	if err != nil {
		return nil, err
	}
	calculator := podautoscaler.NewReplicaCalculator(
		source, podLister{world},
		seconds(c.Controller.CPUInitialization, 300), seconds(c.Controller.InitialReadinessDelay, 30),
	)
	synctest.Test(t, func(*testing.T) {
		defer func() {
			if thrown := recover(); thrown != nil {
				err = problem("panic: %v", thrown)
			}
		}()
		time.Sleep(time.Until(now))
		result, err = call(calculator, c, limits, selector)
	})
	return result, err
}

// benchAll reads calls of the calculator and says how many a second it answers, each from values that are there.
func benchAll() {
	in := bufio.NewScanner(os.Stdin)
	in.Buffer(make([]byte, 1<<20), maxLine)
	for in.Scan() {
		var c caseLine
		rate, err := 0.0, readStrictly(in.Bytes(), &c)
		if err == nil {
			rate, err = bench(&c)
		}
		text := ""
		if err != nil {
			text = err.Error()
		}
		encoded, _ := json.Marshal(map[string]any{"id": c.ID, "callsPerSecond": rate, "error": text})
		fmt.Fprintln(answers, string(encoded))
	}
}

func bench(c *caseLine) (float64, error) {
	source := &fixedMetrics{afresh: true}
	if err := source.read(c, time.Now()); err != nil {
		return 0, err
	}
	selector, err := labels.Parse(c.Selector)
	if err != nil {
		return 0, err
	}
	world := newCluster(&autoscalingv2.HorizontalPodAutoscaler{})
	if err := world.setPods(c.Pods, calculatorNamespace); err != nil {
		return 0, err
	}
	limits, err := c.tolerances()
	if err != nil {
		return 0, err
	}
	calculator := podautoscaler.NewReplicaCalculator(source, podLister{world}, 5*time.Minute, 30*time.Second)
	began, calls := processorTime(), 0
	for processorTime()-began < time.Second {
		for range 20 {
			if _, err := call(calculator, c, limits, selector); err != nil {
				return 0, err
			}
			calls++
		}
	}
	return float64(calls) / (processorTime() - began).Seconds(), nil
}

// processorTime is what this process has used, collecting its garbage included.
func processorTime() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

func call(calculator *podautoscaler.ReplicaCalculator, c *caseLine, limits podautoscaler.Tolerances, selector labels.Selector) (*calculated, error) {
	ctx := context.Background()
	r := &calculated{}
	var err error
	service := &autoscalingv2.CrossVersionObjectReference{Kind: "Service", Name: "s", APIVersion: "v1"}
	switch c.Method {
	case "GetResourceReplicas":
		var percent int32
		r.Replicas, percent, r.Usage, _, err = calculator.GetResourceReplicas(ctx, c.Current, int32(c.Target), corev1.ResourceName(c.resource()), limits, calculatorNamespace, selector, c.Container)
		r.Utilization = &percent
	case "GetRawResourceReplicas":
		r.Replicas, r.Usage, _, err = calculator.GetRawResourceReplicas(ctx, c.Current, c.Target, corev1.ResourceName(c.resource()), limits, calculatorNamespace, selector, c.Container)
	case "GetMetricReplicas":
		r.Replicas, r.Usage, _, err = calculator.GetMetricReplicas(c.Current, c.Target, calculatorMetric, limits, calculatorNamespace, selector, labels.Everything())
	case "GetObjectMetricReplicas":
		r.Replicas, r.Usage, _, err = calculator.GetObjectMetricReplicas(c.Current, c.Target, calculatorMetric, limits, calculatorNamespace, service, selector, labels.Everything())
	case "GetObjectPerPodMetricReplicas":
		r.Replicas, r.Usage, _, err = calculator.GetObjectPerPodMetricReplicas(c.Current, c.Target, calculatorMetric, limits, calculatorNamespace, service, labels.Everything())
	case "GetExternalMetricReplicas":
		r.Replicas, r.Usage, _, err = calculator.GetExternalMetricReplicas(c.Current, c.Target, calculatorMetric, limits, calculatorNamespace, nil, selector)
	case "GetExternalPerPodMetricReplicas":
		r.Replicas, r.Usage, _, err = calculator.GetExternalPerPodMetricReplicas(c.Current, c.Target, calculatorMetric, limits, calculatorNamespace, nil)
	default:
		err = problem("there is no method %s", c.Method)
	}
	if err != nil {
		return nil, err
	}
	return r, nil
}

func (c *caseLine) resource() string {
	if c.Resource == "" {
		return "cpu"
	}
	return c.Resource
}

// tolerances makes upstream's type, whose fields are not exported: two doubles, which is checked before.
func (c *caseLine) tolerances() (podautoscaler.Tolerances, error) {
	values := [2]float64{c.Controller.tolerance(), c.Controller.tolerance()}
	if c.Tolerances != nil && c.Tolerances.ScaleDown != nil {
		values[0] = *c.Tolerances.ScaleDown
	}
	if c.Tolerances != nil && c.Tolerances.ScaleUp != nil {
		values[1] = *c.Tolerances.ScaleUp
	}
	kind := reflect.TypeFor[podautoscaler.Tolerances]()
	double := reflect.TypeFor[float64]()
	if kind.NumField() != 2 || kind.Field(0).Name != "scaleDown" || kind.Field(1).Name != "scaleUp" ||
		kind.Field(0).Type != double || kind.Field(1).Type != double {
		return podautoscaler.Tolerances{}, problem("the type Tolerances has changed")
	}
	return *(*podautoscaler.Tolerances)(unsafe.Pointer(&values)), nil
}

// fixedMetrics answers the one question of a calculator case.
type fixedMetrics struct {
	failure *string
	pods    metricsclient.PodMetricsInfo
	value   int64
	series  []int64
	// afresh: the calculator takes entries out of what it is given, so that each call of a benchmark needs its own.
	afresh bool
}

func (m *fixedMetrics) read(c *caseLine, now time.Time) error {
	m.failure = c.MetricsError
	if m.failure != nil {
		return nil
	}
	if len(c.Metrics) == 0 || string(c.Metrics) == "null" {
		return problem("the case has no metrics")
	}
	switch c.Method {
	case "GetObjectMetricReplicas", "GetObjectPerPodMetricReplicas":
		return readStrictly(c.Metrics, &m.value)
	case "GetExternalMetricReplicas", "GetExternalPerPodMetricReplicas":
		return readStrictly(c.Metrics, &m.series)
	}
	var raw map[string]json.RawMessage
	if err := readStrictly(c.Metrics, &raw); err != nil {
		return err
	}
	m.pods = make(metricsclient.PodMetricsInfo, len(raw))
	for name, text := range raw {
		metric := metricsclient.PodMetric{Timestamp: now, Window: time.Minute}
		if len(text) > 0 && text[0] == '{' {
			var detailed struct {
				Value     int64    `json:"value"`
				Timestamp string   `json:"timestamp"`
				Window    *float64 `json:"windowSeconds"`
			}
			if err := readStrictly(text, &detailed); err != nil {
				return err
			}
			if detailed.Window != nil && math.Abs(*detailed.Window) > math.MaxInt64/1e9 {
				return problem("%s: %v seconds are more than a duration holds", name, *detailed.Window)
			}
			metric.Value = detailed.Value
			metric.Window = seconds(detailed.Window, 60)
			if detailed.Timestamp != "" {
				at, err := time.Parse(time.RFC3339, detailed.Timestamp)
				if err != nil {
					return err
				}
				metric.Timestamp = at
			}
		} else if err := readStrictly(text, &metric.Value); err != nil {
			return err
		}
		m.pods[name] = metric
	}
	return nil
}

func (m *fixedMetrics) problem() error {
	if m.failure != nil {
		return errors.New(*m.failure)
	}
	return nil
}

func (m *fixedMetrics) perPod(api string) (metricsclient.PodMetricsInfo, time.Time, error) {
	if err := m.problem(); err != nil {
		return nil, time.Time{}, err
	}
	if m.afresh {
		return maps.Clone(m.pods), time.Now(), nil
	}
	return m.pods, time.Now(), nil
}

func (m *fixedMetrics) GetResourceMetric(context.Context, corev1.ResourceName, string, labels.Selector, string) (metricsclient.PodMetricsInfo, time.Time, error) {
	return m.perPod("resource")
}

func (m *fixedMetrics) GetRawMetric(string, string, labels.Selector, labels.Selector) (metricsclient.PodMetricsInfo, time.Time, error) {
	return m.perPod("custom")
}

func (m *fixedMetrics) GetObjectMetric(string, string, *autoscalingv2.CrossVersionObjectReference, labels.Selector) (int64, time.Time, error) {
	return m.value, time.Now(), m.problem()
}

func (m *fixedMetrics) GetExternalMetric(string, string, labels.Selector) ([]int64, time.Time, error) {
	return m.series, time.Now(), m.problem()
}
