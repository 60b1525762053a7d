// Package kubernetes holds an example of a sweep as a Kubernetes Job. Its tests check the example.
package kubernetes

import (
	"bytes"
	_ "embed" // the schema
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/jsonschema-go/jsonschema"
	"go.yaml.in/yaml/v3"

	"momentum/internal/backend"
	"momentum/internal/cli"
	"momentum/internal/imagerun"
	"momentum/internal/runlist"
	"momentum/internal/sweep"
)

// schema describes the documents of job.yaml, after the reference of the API at
// kubernetes.io/docs/reference/generated/kubernetes-api/v1.35. It refuses fields that job.yaml does
// not use, so a new field must be added there too.
//
//go:embed schema.json
var schema []byte

// manifest holds the contents of job.yaml that the tests compare.
type manifest struct {
	claim struct {
		Metadata struct{ Name string }
	}
	job struct {
		Spec struct {
			CompletionMode       string
			Completions          int
			Parallelism          int
			BackoffLimitPerIndex int
			PodReplacementPolicy string
			PodFailurePolicy     struct{ Rules []rule }
			Template             struct{ Spec pod }
		}
	}
}

type rule struct {
	Action      string
	OnExitCodes *struct {
		ContainerName, Operator string
		Values                  []int
	}
	OnPodConditions []struct{ Type, Status string }
}

type pod struct {
	RestartPolicy                 string
	TerminationGracePeriodSeconds int
	Containers                    []container
	Volumes                       []struct {
		Name                  string
		PersistentVolumeClaim struct{ ClaimName string }
	}
}

type container struct {
	Name         string
	Command      []string
	Env          []struct{ Name, Value string }
	Resources    struct{ Limits map[string]string }
	VolumeMounts []struct{ Name, MountPath string }
}

// parse decodes the two documents of a manifest, which the schema must accept.
func parse(text []byte) (m manifest, err error) {
	var documents []any
	for decoder := yaml.NewDecoder(bytes.NewReader(text)); ; {
		var document any
		err := decoder.Decode(&document) // refuses duplicate fields
		if errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return m, err
		}
		documents = append(documents, document)
	}
	// Through JSON, whose values the schema describes and whose field names the structs have.
	asJSON, err := json.Marshal(documents)
	if err != nil {
		return m, err
	}
	var values any
	var s jsonschema.Schema
	if err := errors.Join(json.Unmarshal(asJSON, &values), json.Unmarshal(schema, &s)); err != nil {
		return m, err
	}
	resolved, err := s.Resolve(nil)
	if err != nil {
		return m, fmt.Errorf("schema.json: %w", err)
	}
	if err := resolved.Validate(values); err != nil {
		return m, err
	}
	return m, json.Unmarshal(asJSON, &[]any{&m.claim, &m.job})
}

// read returns the text of the example.
func read(t *testing.T) []byte {
	t.Helper()
	text, err := os.ReadFile("job.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// The example has only fields that Kubernetes knows, and its values are consistent.
func TestJob(t *testing.T) {
	m, err := parse(read(t))
	if err != nil {
		t.Fatal(err)
	}
	spec, pod := m.job.Spec, m.job.Spec.Template.Spec
	if spec.CompletionMode != "Indexed" || spec.Parallelism < 1 ||
		spec.Completions < spec.Parallelism || spec.BackoffLimitPerIndex < 1 {
		t.Errorf("mode %s, completions %d, parallelism %d, backoff %d", spec.CompletionMode,
			spec.Completions, spec.Parallelism, spec.BackoffLimitPerIndex)
	}
	// Kubernetes requires these two of a job with a failure policy.
	if pod.RestartPolicy != "Never" || spec.PodReplacementPolicy != "Failed" {
		t.Errorf("restartPolicy %s, podReplacementPolicy %s", pod.RestartPolicy,
			spec.PodReplacementPolicy)
	}
	// The lock of a run on a dead node is valid for two minutes. The pauses between attempts, which
	// start at 10 s and double each time, must be longer.
	if pauses := 10 * (1<<spec.BackoffLimitPerIndex - 1); pauses < 120 {
		t.Errorf("all attempts within %d s, want at least 120", pauses)
	}
	if len(pod.Containers) != 1 {
		t.Fatalf("%d containers, want 1", len(pod.Containers))
	}
	c := pod.Containers[0]
	checkFailurePolicy(t, spec.PodFailurePolicy.Rules, c.Name)
	if pod.TerminationGracePeriodSeconds < 60 {
		t.Errorf("%d s to save, want at least 60", pod.TerminationGracePeriodSeconds)
	}
	if gpus := c.Resources.Limits["nvidia.com/gpu"]; gpus != "1" {
		t.Errorf("%s GPUs, want 1", gpus)
	}
	if volumes := pod.Volumes; len(volumes) != 1 || len(c.VolumeMounts) != 1 ||
		volumes[0].PersistentVolumeClaim.ClaimName != m.claim.Metadata.Name ||
		c.VolumeMounts[0].Name != volumes[0].Name {
		t.Fatalf("volumes %v, mounts %v, claim %s", volumes, c.VolumeMounts,
			m.claim.Metadata.Name)
	}
	checkPaths(t, c)
	if err := checkCommand(t, c.Command); err != nil {
		t.Error(err)
	}
}

// checkFailurePolicy checks that a stopped run and a disruption cost no attempt, and that a wrong
// command line is not repeated.
func checkFailurePolicy(t *testing.T, rules []rule, containerName string) {
	t.Helper()
	actions := map[int]string{} // by exit status
	disruptions := false
	for _, rule := range rules {
		if codes := rule.OnExitCodes; codes != nil {
			if codes.ContainerName != containerName || codes.Operator != "In" ||
				!slices.IsSorted(codes.Values) {
				t.Errorf("rule %+v, want container %s and operator In", codes, containerName)
			}
			for _, status := range codes.Values {
				actions[status] = rule.Action
			}
		}
		for _, condition := range rule.OnPodConditions {
			disruptions = disruptions || rule.Action == "Ignore" &&
				condition.Type == "DisruptionTarget" && condition.Status == "True"
		}
	}
	if len(actions) != 2 || actions[cli.Stopped] != "Ignore" ||
		actions[cli.BadUsage] != "FailIndex" || !disruptions {
		t.Errorf("exit statuses %v, disruptions ignored: %v", actions, disruptions)
	}
}

// checkPaths checks that all paths are on the claim's volume.
func checkPaths(t *testing.T, c container) {
	t.Helper()
	paths := 0
	for _, arg := range append(slices.Clone(c.Command), c.Env[0].Value) {
		if _, path, ok := strings.Cut(arg, "=/"); ok || strings.HasPrefix(arg, "/data") {
			if ok {
				arg = "/" + path
			}
			paths++
			if !strings.HasPrefix(arg, c.VolumeMounts[0].MountPath+"/") {
				t.Errorf("%s is not below %s", arg, c.VolumeMounts[0].MountPath)
			}
		}
	}
	if paths != 3 {
		t.Errorf("%d paths, want those of the list, the run folders and the cache", paths)
	}
}

// checkCommand checks that cifar accepts the command line, and that it selects the run of the list
// for the pod's index. The list, of one run, is in a temporary folder.
func checkCommand(t *testing.T, command []string) error {
	t.Helper()
	want := imagerun.Preset("tiny", "gdm")
	want.Offline = true
	want.Normalize()
	run, err := want.Run()
	if err != nil {
		return err
	}
	dir := t.TempDir()
	if _, err := sweep.Plan(dir, "runs", []runlist.Run{run}); err != nil {
		return err
	}
	t.Setenv("JOB_COMPLETION_INDEX", "0")
	var args []string
	for _, arg := range command[1:] {
		args = append(args, strings.Replace(arg, "/data/sweep", dir, 1))
	}
	parsed, err := imagerun.ParseCommand(args)
	if err != nil {
		return fmt.Errorf("%q: %w", args, err)
	}
	got, _, err := parsed.Config(backend.CPU)
	want.Runs = "/data/runs"
	if err != nil || got != want {
		return fmt.Errorf("%q: %+v, %v; want %+v", args, got, err, want)
	}
	return nil
}

// Faults in the example are found.
func TestFaults(t *testing.T) {
	text := string(read(t))
	for _, c := range []struct{ fault, old, new string }{
		{"misspelt field", "completionMode: Indexed", "completionmode: Indexed"},
		{"misspelt nested field", "onExitCodes:", "onExitCode:"},
		{"misspelt field of the claim", "accessModes:", "accessMode:"},
		{"field in the wrong place", "      restartPolicy: Never", "  restartPolicy: Never"},
		{"unknown resource", "nvidia.com/gpu:", "nvidia.com/gpus:"},
		{"string for a number", "completions: 6", `completions: "6"`},
		{"number for a string", "value: /data/cache", "value: 1"},
		{"boolean for a string", `status: "True"`, "status: True"},
		{"object for a list", "- {name: data, mountPath: /data}", "{name: data, mountPath: /data}"},
		{"unknown value", "action: FailIndex", "action: Fail"},
		{"fraction", "parallelism: 2", "parallelism: 2.5"},
		{"duplicate field", "parallelism: 2", "parallelism: 2\n  parallelism: 2"},
		{"missing completionMode", "  completionMode: Indexed", "  suspend: true"},
		{"missing completions", "  completions: 6", "  suspend: true"},
		{"missing document", "---\n", ""},
		{"third document", "---\n", "---\nkind: Job\n---\n"},
		{"invalid quantity", "storage: 100Gi", "storage: 100GiB"},
	} {
		changed := strings.Replace(text, c.old, c.new, 1)
		if changed == text {
			t.Errorf("%s: job.yaml has no %q", c.fault, c.old)
		} else if _, err := parse([]byte(changed)); err == nil {
			t.Errorf("%s is accepted", c.fault)
		}
	}
	// README.md tells users to add this field.
	suspended := strings.Replace(text, "completionMode: Indexed",
		"completionMode: Indexed\n  suspend: true", 1)
	if _, err := parse([]byte(suspended)); err != nil {
		t.Errorf("suspend: true: %v", err)
	}

	m, err := parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	command := m.job.Spec.Template.Spec.Containers[0].Command
	for i, changed := range map[int]string{
		1: "-configs=/data/sweep/runs.jsonl", // a flag that cifar does not have
		2: "-task=all",
		3: "-runs=/data/other",
	} {
		faulty := slices.Clone(command)
		faulty[i] = changed
		if checkCommand(t, faulty) == nil {
			t.Errorf("%q is accepted", faulty)
		}
	}
}
