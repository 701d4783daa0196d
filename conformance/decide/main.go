// The judge: reads decision cases, one JSON object a line, has the unmodified upstream
// HorizontalPodAutoscaler controller play them in virtual time, and writes one answer a line.
//
// Usage: judge-1.37 < cases.jsonl > answers.jsonl
//
// `judge-1.37 bench` has the replica calculator answer each call again and again, and writes how often a second.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"testing"

	"github.com/go-logr/logr"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/client-go/util/retry"
	"k8s.io/klog/v2"
	"k8s.io/kubernetes/pkg/controller/podautoscaler/monitor"
)

// Set at build time: -ldflags "-X main.kubernetes=1.37".
var kubernetes string

const maxLine = 64 << 20

func main() {
	// HandleError would end in a rate limiter that remembers the last error's moment in a package variable: it
	// outlives a bubble, and the next bubble, whose clock starts again in 2000, would sleep for decades.
	utilruntime.ErrorHandlers = nil
	utilruntime.ReallyCrash = false
	utilruntime.PanicHandlers = nil
	klog.SetLogger(logr.Discard())
	// Between two tries of a conflicting update client-go waits 10 ms and a random bit; here a sync takes no time.
	retry.DefaultRetry.Duration, retry.DefaultRetry.Jitter = 0, 0
	monitor.Register()

	// synctest asks for a *testing.T; this is the way to have one outside of `go test`. What the testing package has
	// to say ("PASS") goes nowhere; answers goes to the real output.
	answers = os.Stdout
	if silent, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0); err == nil {
		os.Stdout = silent
	}
	if len(os.Args) > 1 && os.Args[1] == "bench" {
		os.Args = os.Args[:1]
		benchAll()
		return
	}
	testing.Main(
		func(string, string) (bool, error) { return true, nil },
		[]testing.InternalTest{{Name: "judge", F: judgeAll}}, nil, nil,
	)
}

var answers *os.File

func judgeAll(t *testing.T) {
	in := bufio.NewScanner(os.Stdin)
	in.Buffer(make([]byte, 1<<20), maxLine)
	out := bufio.NewWriterSize(answers, 1<<16)
	defer out.Flush()
	for in.Scan() {
		line := bytes.TrimSpace(in.Bytes())
		if len(line) == 0 {
			continue
		}
		encoded, err := json.Marshal(judge(t, line))
		if err != nil {
			t.Fatalf("an answer cannot be written: %v", err)
		}
		out.Write(encoded)
		out.WriteByte('\n')
		if in.Err() != nil {
			break
		}
	}
	if err := in.Err(); err != nil {
		t.Fatalf("the cases cannot be read: %v", err)
	}
}

// answer is what a case gives back; which fields it has depends on its kind.
type answer struct {
	ID         string      `json:"id"`
	Kubernetes string      `json:"kubernetes"`
	Error      *string     `json:"error,omitempty"`
	Syncs      []syncEntry `json:"syncs,omitempty"`
	*calculated
	*admitted
}

type calculated struct {
	Replicas    int32  `json:"replicas"`
	Usage       int64  `json:"usage"`
	Utilization *int32 `json:"utilization"`
}

func judge(t *testing.T, line []byte) (result answer) {
	result.Kubernetes = kubernetes
	defer func() {
		if thrown := recover(); thrown != nil {
			text := fmt.Sprintf("panic: %v", thrown)
			result.Error = &text
			result.Syncs, result.calculated, result.admitted = nil, nil, nil
		}
	}()
	var c caseLine
	err := readStrictly(line, &c)
	result.ID = c.ID
	if err == nil {
		err = c.check()
	}
	if err == nil {
		var restore func()
		if restore, err = setGates(c.FeatureGates); err == nil {
			defer restore()
			if len(c.Admit) > 0 {
				result.admitted, err = admitCase(&c)
			} else if c.Method != "" {
				result.calculated, err = calculate(t, &c)
			} else {
				result.Syncs, err = playStory(t, &c)
			}
		}
	}
	if err != nil {
		text := err.Error()
		result.Error = &text
		result.Syncs, result.calculated, result.admitted = nil, nil, nil
	}
	return result
}

func problem(format string, args ...any) error { return fmt.Errorf(format, args...) }
