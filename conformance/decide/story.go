package main

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	"k8s.io/apimachinery/pkg/labels"
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

// margin is what has to lie between an edit and the syncs before and after it, and between the syncs of two HPAs.
const margin = 10 * time.Millisecond

// playStory runs the controller over the steps in virtual time. All input is read before the bubble begins.
func playStory(t *testing.T, c *caseLine) (entries []syncEntry, err error) {
	var named struct {
		Metadata struct {
			Name string `json:"name"`
		} `json:"metadata"`
	}
	if err := readStrictly(c.HPA, &named); err != nil || named.Metadata.Name == "" {
		return nil, problem("hpa: it has no name, or cannot be read: %v", err)
	}
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
	if err := c.checkPlot(hpa.Name, start, period); err != nil {
		return nil, err
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

// checkPlot refuses steps whose order in time would not be certain.
func (c *caseLine) checkPlot(name string, start time.Time, period time.Duration) error {
	others := c.othersNamed()
	for i := range c.Steps {
		s := &c.Steps[i]
		if !(s.LateSeconds >= 0 && s.LateSeconds <= math.MaxInt64/1e9) {
			return problem("steps[%d].lateSeconds: %v is no wait", i, s.LateSeconds)
		}
		if s.ScaleErrors.Conflicts < 0 {
			return problem("steps[%d].scaleErrors.conflicts is negative", i)
		}
		if i == 0 && s.edits() {
			return problem("steps[0].hpa: nobody has seen the HPA yet")
		}
		if len(others) > 0 && (s.LateSeconds > 0 || s.Restart || s.edits()) {
			return problem("steps[%d]: with otherHpas no sync is late, nothing is edited and nothing restarts", i)
		}
		seen := map[string]bool{}
		for _, other := range s.OtherHPAs {
			if other.Name == "" || other.Name == name || strings.Contains(other.Name, "/") || seen[other.Name] {
				return problem("steps[%d].otherHpas: %q is no name of another HPA", i, other.Name)
			}
			seen[other.Name] = true
			if other.Selector == nil {
				continue
			}
			if _, err := labels.Parse(*other.Selector); err != nil || *other.Selector == "" {
				return problem("steps[%d].otherHpas: %s: %q is no selector", i, other.Name, *other.Selector)
			}
		}
	}
	if len(others) > 0 && (period < 4*margin || start.Add(-period).Before(year2000)) {
		return problem("with otherHpas the story starts a sync period after 2000 or later, and the period is 40 ms or more")
	}
	return nil
}

// othersNamed are the names of all other HPAs of the story, sorted.
func (c *caseLine) othersNamed() []string {
	var names []string
	for i := range c.Steps {
		for _, other := range c.Steps[i].OtherHPAs {
			names = append(names, other.Name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// player is a story as it goes on.
type player struct {
	*cluster
	story  *caseLine
	period time.Duration
	// moment is how long after a sync it is looked at: two timers due at the same instant have no order.
	moment time.Duration
	// due is when the next sync comes by itself, last when the last one was.
	due, last time.Time
	// stop ends the controller; nothing of it is left afterwards.
	stop func()
}

func play(c *caseLine, hpa *autoscalingv2.HorizontalPodAutoscaler, start time.Time, period time.Duration) ([]syncEntry, error) {
	world := newCluster(hpa)
	world.replicas, world.selector = *c.Scale.Replicas, c.Scale.Selector
	if err := world.hpas.Add(hpa); err != nil {
		return nil, err
	}
	p := &player{cluster: world, story: c, period: period, moment: min(time.Millisecond, period/2), due: start}
	defer func() {
		if p.stop != nil {
			p.stop()
		}
	}()
	utilruntime.PanicHandlers = []func(context.Context, any){
		func(_ context.Context, thrown any) { world.crash = fmt.Sprint(thrown) },
	}
	// The first state is true before the controller runs: from 1.37 on its first sync is immediate.
	if err := p.enter(&c.Steps[0]); err != nil {
		return nil, problem("steps[0]: %v", err)
	}
	if others := c.othersNamed(); len(others) > 0 {
		// Half a period before this HPA the others are synced, so that the controller knows what they select.
		time.Sleep(time.Until(start.Add(-period / 2)))
		var objects []*autoscalingv2.HorizontalPodAutoscaler
		for _, name := range others {
			other := anotherHPA(name, hpa.Namespace)
			if err := world.hpas.Add(other); err != nil {
				return nil, err
			}
			objects = append(objects, other)
		}
		p.startController(objects...)
		time.Sleep(time.Until(start))
		world.handler.OnAdd(hpa, true)
	} else {
		time.Sleep(time.Until(start))
		p.startController(hpa)
	}
	if firstSyncWaits {
		p.due = p.due.Add(period)
	}
	return p.watch()
}

// startController makes a controller with an empty memory that sees these HPAs first.
func (p *player) startController(first ...*autoscalingv2.HorizontalPodAutoscaler) {
	flags := p.story.Controller
	ctx, cancel := context.WithCancel(klog.NewContext(context.Background(), logr.New(eventLog{p.cluster})))
	controller := podautoscaler.NewHorizontalController(
		ctx, eventSink{}, scales{cluster: p.cluster}, hpaClient{cluster: p.cluster}, anyMapper{}, metricsSource{p.cluster},
		hpaInformer{cluster: p.cluster}, podInformer{cluster: p.cluster},
		p.period,
		seconds(flags.DownscaleWindow, 300),
		flags.tolerance(),
		seconds(flags.CPUInitialization, 300),
		seconds(flags.InitialReadinessDelay, 30),
	)
	for _, hpa := range first {
		p.handler.OnAdd(hpa, true)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		controller.Run(ctx, 1)
	}()
	p.stop = func() {
		cancel()
		<-done
		synctest.Wait()
	}
}

func (p *player) watch() ([]syncEntry, error) {
	entries := make([]syncEntry, 0, len(p.story.Steps))
	for i := range p.story.Steps {
		s := &p.story.Steps[i]
		if i > 0 {
			if err := p.enter(s); err != nil {
				return nil, problem("steps[%d]: %v", i, err)
			}
		}
		at, err := p.next(s, i)
		if err == nil && at.After(year2262) {
			err = problem("the story goes on after %s", year2262)
		}
		if err != nil {
			return nil, problem("steps[%d]: %v", i, err)
		}
		time.Sleep(time.Until(at.Add(p.moment)))
		synctest.Wait()
		if p.crash != "" {
			return nil, problem("steps[%d]: panic: %s", i, p.crash)
		}
		if p.syncs != 1 {
			return nil, problem("steps[%d]: the judge saw %d syncs", i, p.syncs)
		}
		p.last = at
		entries = append(entries, p.entry())
	}
	return entries, nil
}

// next lets happen what comes before the sync of a step, and says when that sync is.
func (p *player) next(s *step, index int) (time.Time, error) {
	atOnce := false
	if s.Restart && index > 0 {
		if err := p.restart(s); err != nil {
			return p.due, err
		}
	} else if s.edits() {
		var err error
		if atOnce, err = p.edit(s); err != nil {
			return p.due, err
		}
	}
	if atOnce {
		// The sync that was due before the edit still comes.
		if s.LateSeconds > 0 {
			return p.due, problem("lateSeconds: a sync that an edit brings about is not late")
		}
		return time.Now(), nil
	}
	at := p.due.Add(seconds(&s.LateSeconds, 0))
	p.due = at.Add(p.period)
	return at, nil
}

// restart is another process, which starts when the next sync would have been due.
func (p *player) restart(s *step) error {
	p.stop()
	p.stop = nil
	if s.edits() {
		if _, err := p.replaceHPA(s.HPA); err != nil {
			return err
		}
	}
	if p.due.After(year2262) {
		return problem("the story goes on after %s", year2262)
	}
	time.Sleep(time.Until(p.due))
	p.startController(p.hpa())
	if firstSyncWaits {
		p.due = p.due.Add(p.period)
	}
	return nil
}

// edit changes the HPA between two syncs and says whether the controller syncs at once.
func (p *player) edit(s *step) (bool, error) {
	after := p.due.Sub(p.last) / 2
	if s.EditedAfter != nil {
		if !(math.Abs(*s.EditedAfter) < math.MaxInt64/1e9) {
			return false, problem("editedAfterSeconds: %v is no wait", *s.EditedAfter)
		}
		after = seconds(s.EditedAfter, 0)
	}
	at := p.last.Add(after)
	if after < margin || p.due.Sub(at) < margin {
		return false, problem("editedAfterSeconds: the edit has to come 10 ms or more after the last sync and before the next")
	}
	if p.due.After(year2262) {
		return false, problem("the story goes on after %s", year2262)
	}
	time.Sleep(time.Until(at))
	old := p.hpa()
	edited, err := p.replaceHPA(s.HPA)
	if err != nil {
		return false, err
	}
	p.handler.OnUpdate(old, edited)
	return syncsAtOnce(old, edited), nil
}

func (p *player) replaceHPA(raw []byte) (*autoscalingv2.HorizontalPodAutoscaler, error) {
	edited, err := edit(p.hpa(), raw)
	if err != nil {
		return nil, err
	}
	return edited, p.hpas.Update(edited)
}

// enter makes the state of a step true.
func (c *cluster) enter(s *step) error {
	c.now = s
	c.syncs, c.conflicts, c.updated, c.events = 0, 0, false, nil
	c.late = seconds(&s.LateSeconds, 0)
	c.statusReplicas = s.StatusReplicas
	if s.Scale != nil && s.Scale.Replicas != nil {
		c.replicas = *s.Scale.Replicas
	}
	return c.setPods(s.Pods, c.namespace)
}

func (c *cluster) entry() syncEntry {
	status := c.hpa().Status.DeepCopy()
	return syncEntry{
		Replicas: c.replicas, DesiredReplicas: status.DesiredReplicas,
		Conditions: status.Conditions, CurrentMetrics: status.CurrentMetrics,
		Events: c.events,
	}
}

// eventLog picks the events of this HPA out of the controller's structured log.
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
	if said["object"] == l.namespace+"/"+l.name {
		l.events = append(l.events, said["type"]+" "+said["reason"]+": "+said["message"])
	}
}
