package main

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/klog/v2"
	"k8s.io/kubernetes/pkg/controller/podautoscaler"
)

// syncEntry is what one sync left.
type syncEntry struct {
	Replicas        int32                                            `json:"replicas"`
	DesiredReplicas int32                                            `json:"desiredReplicas"`
	Conditions      []autoscalingv2.HorizontalPodAutoscalerCondition `json:"conditions"`
	CurrentMetrics  []autoscalingv2.MetricStatus                     `json:"currentMetrics"`
	Events          []string                                         `json:"events"`
}

// playStory runs the controller over the steps in virtual time. All input is read before the bubble begins.
func playStory(t *testing.T, c *caseLine) (entries []syncEntry, err error) {
	hpa, err := admit(c.HPA)
	if err != nil {
		return nil, err
	}
	start, err := readTime(c.Start)
	if err != nil {
		return nil, problem("start: %v", err)
	}
	if start.Before(year2000) || start.After(year2262) {
		return nil, problem("start: %s lies before 2000 or after 2262", c.Start)
	}
	period := seconds(c.Controller.SyncPeriod, 15)
	if period <= 0 {
		return nil, problem("controller.syncPeriodSeconds must be above 0")
	}
	synctest.Test(t, func(*testing.T) {
		defer func() {
			if thrown := recover(); thrown != nil {
				err = problem("panic: %v", thrown)
			}
		}()
		entries, err = play(c, hpa, start, period)
	})
	return entries, err
}

func play(c *caseLine, hpa *autoscalingv2.HorizontalPodAutoscaler, start time.Time, period time.Duration) ([]syncEntry, error) {
	time.Sleep(time.Until(start))
	world := newCluster()
	world.replicas, world.selector = *c.Scale.Replicas, c.Scale.Selector
	if err := world.hpas.Add(hpa); err != nil {
		return nil, err
	}
	// The first state is true before the controller runs: from 1.37 on its first sync is immediate.
	if err := world.enter(&c.Steps[0], hpa.Namespace); err != nil {
		return nil, problem("steps[0]: %v", err)
	}
	utilruntime.PanicHandlers = []func(context.Context, any){
		func(_ context.Context, thrown any) { world.crash = fmt.Sprint(thrown) },
	}
	ctx, cancel := context.WithCancel(klog.NewContext(context.Background(), logr.New(eventLog{world})))
	controller := podautoscaler.NewHorizontalController(
		ctx, eventSink{}, scales{cluster: world}, hpaClient{cluster: world}, anyMapper{}, metricsSource{world},
		hpaInformer{cluster: world}, podInformer{cluster: world},
		period,
		seconds(c.Controller.DownscaleWindow, 300),
		c.Controller.tolerance(),
		seconds(c.Controller.CPUInitialization, 300),
		seconds(c.Controller.InitialReadinessDelay, 30),
	)
	world.handler.OnAdd(hpa, true)
	done := make(chan struct{})
	go func() {
		defer close(done)
		controller.Run(ctx, 1)
	}()
	defer func() {
		// Nothing of this bubble may be left when it ends.
		cancel()
		<-done
		synctest.Wait()
	}()
	return world.watch(c, hpa.Namespace, start, period)
}

// watch looks a moment after each sync: two timers due at the same instant have no order.
func (c *cluster) watch(story *caseLine, namespace string, start time.Time, period time.Duration) ([]syncEntry, error) {
	moment := min(time.Millisecond, period/2)
	first := start
	if firstSyncWaits {
		first = start.Add(period)
	}
	if last := first.Add(time.Duration(len(story.Steps)-1) * period); last.Before(first) || last.After(year2262) {
		return nil, problem("the story goes on after %s", year2262)
	}
	entries := make([]syncEntry, 0, len(story.Steps))
	for i := range story.Steps {
		if i > 0 {
			if err := c.enter(&story.Steps[i], namespace); err != nil {
				return nil, problem("steps[%d]: %v", i, err)
			}
		}
		time.Sleep(time.Until(first.Add(time.Duration(i)*period + moment)))
		synctest.Wait()
		if c.crash != "" {
			return nil, problem("steps[%d]: panic: %s", i, c.crash)
		}
		if c.syncs != 1 {
			return nil, problem("steps[%d]: the judge saw %d syncs", i, c.syncs)
		}
		entries = append(entries, c.entry(namespace))
	}
	return entries, nil
}

// enter makes the state of a step true.
func (c *cluster) enter(s *step, namespace string) error {
	c.now = s
	c.syncs, c.updated, c.events = 0, false, nil
	c.statusReplicas = s.StatusReplicas
	if s.Scale != nil && s.Scale.Replicas != nil {
		c.replicas = *s.Scale.Replicas
	}
	return c.setPods(s.Pods, namespace)
}

func (c *cluster) entry(namespace string) syncEntry {
	entry := syncEntry{Replicas: c.replicas, Events: c.events}
	for _, item := range c.hpas.List() {
		status := item.(*autoscalingv2.HorizontalPodAutoscaler).Status.DeepCopy()
		entry.DesiredReplicas = status.DesiredReplicas
		entry.Conditions = status.Conditions
		entry.CurrentMetrics = status.CurrentMetrics
	}
	return entry
}

// eventLog picks the events out of the controller's structured log.
type eventLog struct{ *cluster }

func (eventLog) Init(logr.RuntimeInfo)                  {}
func (eventLog) Enabled(level int) bool                 { return level == 3 }
func (l eventLog) WithValues(...any) logr.LogSink       { return l }
func (l eventLog) WithName(string) logr.LogSink         { return l }
func (eventLog) Error(err error, text string, _ ...any) {}

func (l eventLog) Info(_ int, text string, pairs ...any) {
	if text != "Event occurred" {
		return
	}
	said := map[string]string{}
	for i := 0; i+1 < len(pairs); i += 2 {
		if name, ok := pairs[i].(string); ok {
			said[name] = fmt.Sprint(pairs[i+1])
		}
	}
	l.events = append(l.events, said["type"]+" "+said["reason"]+": "+said["message"])
}
