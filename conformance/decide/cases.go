package main

import (
	"encoding/json"
	"math"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	"k8s.io/component-base/featuregate"
	sigsjson "sigs.k8s.io/json"
)

// caseLine is a story or, with a method, one call of the replica calculator.
type caseLine struct {
	ID           string          `json:"id"`
	Kubernetes   *string         `json:"kubernetes"`
	FeatureGates map[string]bool `json:"featureGates"`
	Controller   controllerFlags `json:"controller"`

	HPA   json.RawMessage `json:"hpa"`
	Scale *struct {
		Replicas *int32 `json:"replicas"`
		Selector string `json:"selector"`
	} `json:"scale"`
	Start string `json:"start"`
	Steps []step `json:"steps"`

	Admit json.RawMessage `json:"admit"`
	Over  json.RawMessage `json:"over"`

	Method       string          `json:"method"`
	Current      int32           `json:"current"`
	Target       int64           `json:"target"`
	Tolerances   *tolerances     `json:"tolerances"`
	Pods         []corev1.Pod    `json:"pods"`
	Selector     string          `json:"selector"`
	Metrics      json.RawMessage `json:"metrics"`
	MetricsError *string         `json:"metricsError"`
	Resource     string          `json:"resource"`
	Container    string          `json:"container"`
	Now          string          `json:"now"`
}

type tolerances struct {
	ScaleDown *float64 `json:"scaleDown"`
	ScaleUp   *float64 `json:"scaleUp"`
}

type controllerFlags struct {
	SyncPeriod            *float64 `json:"syncPeriodSeconds"`
	DownscaleWindow       *float64 `json:"downscaleStabilizationSeconds"`
	CPUInitialization     *float64 `json:"cpuInitializationPeriodSeconds"`
	InitialReadinessDelay *float64 `json:"initialReadinessDelaySeconds"`
	Tolerance             *float64 `json:"tolerance"`
}

type step struct {
	Pods    []corev1.Pod               `json:"pods"`
	Metrics map[string]json.RawMessage `json:"metrics"`
	Scale   *struct {
		Replicas *int32 `json:"replicas"`
	} `json:"scale"`
	StatusReplicas *int32          `json:"statusReplicas"`
	ScaleErrors    scaleErrors     `json:"scaleErrors"`
	StatusError    *string         `json:"statusError"`
	Restart        bool            `json:"restart"`
	LateSeconds    float64         `json:"lateSeconds"`
	HPA            json.RawMessage `json:"hpa"`
	EditedAfter    *float64        `json:"editedAfterSeconds"`
	OtherHPAs      []otherHPA      `json:"otherHpas"`

	answers map[string]metricAnswer
}

// scaleErrors is what reading and writing the target's scale answer. With conflicts the first so many writes of the sync
// fail with a conflict, whose whole text is that of update, because another writer has set replicas.
type scaleErrors struct {
	Get       *string `json:"get"`
	Update    *string `json:"update"`
	Conflicts int32   `json:"conflicts"`
	Replicas  *int32  `json:"replicas"`
}

func (e *scaleErrors) conflictText() string {
	if e.Update == nil {
		return "the object has been modified"
	}
	return *e.Update
}

// otherHPA is another autoscaler of the namespace that the controller knows at this sync, by what it selects.
type otherHPA struct {
	Name     string  `json:"name"`
	Selector *string `json:"selector"`
}

func (s *step) edits() bool { return len(s.HPA) > 0 && string(s.HPA) != "null" }

// metricAnswer is what the metrics source says to one key.
type metricAnswer struct {
	failure *string
	pods    map[string]int64
	series  []int64
	value   *int64
}

// readStrictly reads JSON as the API machinery does: names are case sensitive, unknown ones are passed over.
func readStrictly(data []byte, into any) error {
	return sigsjson.UnmarshalCaseSensitivePreserveInts(data, into)
}

func (c *caseLine) check() error {
	if c.Kubernetes != nil && *c.Kubernetes != kubernetes {
		return problem("this judge plays Kubernetes %s, not %s", kubernetes, *c.Kubernetes)
	}
	for _, flag := range []*float64{c.Controller.SyncPeriod, c.Controller.DownscaleWindow, c.Controller.CPUInitialization, c.Controller.InitialReadinessDelay} {
		if flag != nil && math.Abs(*flag) > math.MaxInt64/1e9 {
			return problem("controller: %v seconds are more than a duration holds", *flag)
		}
	}
	if c.Method != "" || len(c.Admit) > 0 {
		return nil
	}
	if len(c.HPA) == 0 || string(c.HPA) == "null" {
		return problem("the case has no hpa")
	}
	if c.Scale == nil || c.Scale.Replicas == nil {
		return problem("the case has no scale.replicas")
	}
	if len(c.Steps) == 0 {
		return problem("the case has no steps")
	}
	for i := range c.Steps {
		if err := c.Steps[i].readMetrics(); err != nil {
			return problem("steps[%d].metrics: %v", i, err)
		}
	}
	return nil
}

func (s *step) readMetrics() error {
	s.answers = make(map[string]metricAnswer, len(s.Metrics))
	for key, raw := range s.Metrics {
		kind, _, _ := strings.Cut(key, "/")
		a, err := readAnswer(kind, raw)
		if err != nil {
			return problem("%s: %v", key, err)
		}
		if a != nil {
			s.answers[key] = *a
		}
	}
	return nil
}

// readAnswer gives nil for what counts as no answer at all.
func readAnswer(kind string, raw json.RawMessage) (*metricAnswer, error) {
	switch kind {
	case "pods", "resource", "containerResource", "external", "object":
	default:
		return nil, nil
	}
	if string(raw) == "null" {
		return nil, nil
	}
	var failed struct {
		Error *string `json:"error"`
	}
	if err := readStrictly(raw, &failed); err != nil {
		return nil, err
	}
	if failed.Error != nil {
		return &metricAnswer{failure: failed.Error}, nil
	}
	switch kind {
	case "pods", "resource", "containerResource":
		var said struct {
			Values map[string]resource.Quantity `json:"values"`
		}
		if err := readStrictly(raw, &said); err != nil {
			return nil, err
		}
		a := metricAnswer{pods: make(map[string]int64, len(said.Values))}
		for name, quantity := range said.Values {
			a.pods[name] = quantity.MilliValue()
		}
		return &a, nil
	case "external":
		var said struct {
			Values []resource.Quantity `json:"values"`
		}
		if err := readStrictly(raw, &said); err != nil {
			return nil, err
		}
		a := metricAnswer{series: make([]int64, 0, len(said.Values))}
		for _, quantity := range said.Values {
			a.series = append(a.series, quantity.MilliValue())
		}
		return &a, nil
	case "object":
		var said struct {
			Value *resource.Quantity `json:"value"`
		}
		if err := readStrictly(raw, &said); err != nil {
			return nil, err
		}
		if said.Value == nil {
			return nil, nil
		}
		milli := said.Value.MilliValue()
		return &metricAnswer{value: &milli}, nil
	}
	return nil, nil
}

func seconds(value *float64, otherwise float64) time.Duration {
	if value == nil {
		return time.Duration(otherwise * float64(time.Second))
	}
	return time.Duration(math.Round(*value * float64(time.Second)))
}

func (f controllerFlags) tolerance() float64 {
	if f.Tolerance == nil {
		return 0.1
	}
	return *f.Tolerance
}

// year2000 is when every bubble's clock starts.
var year2000 = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// year2262 is where Go's differences of times end.
var year2262 = time.Date(2262, 1, 1, 0, 0, 0, 0, time.UTC)

func readTime(text string) (time.Time, error) {
	if text == "" {
		return year2000, nil
	}
	return time.Parse(time.RFC3339, text)
}

// setGates sets feature gates away from the release's defaults and says how to set them back. A gate that is closed
// takes those that depend on it with it: no process would start otherwise.
func setGates(gates map[string]bool) (func(), error) {
	if len(gates) == 0 {
		return func() {}, nil
	}
	gate := utilfeature.DefaultMutableFeatureGate
	known := gate.GetAll()
	for name := range gates {
		if _, ok := known[featuregate.Feature(name)]; !ok {
			return nil, problem("Kubernetes %s has no feature gate %s", kubernetes, name)
		}
	}
	wanted := withDependents(gates)
	before := make(map[string]bool, len(wanted))
	for name := range wanted {
		before[name] = utilfeature.DefaultFeatureGate.Enabled(featuregate.Feature(name))
	}
	restore := func() {
		if err := gate.SetFromMap(before); err != nil {
			panic(err)
		}
	}
	if err := gate.SetFromMap(wanted); err != nil {
		restore()
		return nil, err
	}
	return restore, nil
}

func withDependents(gates map[string]bool) map[string]bool {
	wanted := make(map[string]bool, len(gates))
	for name, value := range gates {
		wanted[name] = value
	}
	for changed := true; changed; {
		changed = false
		for feature, needs := range utilfeature.DefaultMutableFeatureGate.Dependencies() {
			if _, given := wanted[string(feature)]; given || !utilfeature.DefaultFeatureGate.Enabled(feature) {
				continue
			}
			for _, need := range needs {
				if value, given := wanted[string(need)]; given && !value {
					wanted[string(feature)] = false
					changed = true
				}
			}
		}
	}
	return wanted
}
