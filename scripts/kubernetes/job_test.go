// Package kubernetes holds an example of a sweep as a Kubernetes Job, which its test checks.
package kubernetes

import (
	"os"
	"slices"
	"strings"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"momentum/cifar/config"
	"momentum/internal/cli"
	"momentum/internal/sweep"
)

// The example has no field that Kubernetes does not know, and what it says fits together.
func TestJob(t *testing.T) {
	text, err := os.ReadFile("job.yaml")
	if err != nil {
		t.Fatal(err)
	}
	documents := strings.Split(string(text), "\n---\n")
	if len(documents) != 2 {
		t.Fatalf("%d documents, want the claim and the job", len(documents))
	}
	var claim corev1.PersistentVolumeClaim
	var job batchv1.Job
	for i, v := range []any{&claim, &job} {
		if err := yaml.UnmarshalStrict([]byte(documents[i]), v); err != nil {
			t.Fatalf("document %d: %v", i+1, err)
		}
	}
	if job.APIVersion != batchv1.SchemeGroupVersion.String() || job.Kind != "Job" ||
		claim.APIVersion != "v1" || claim.Kind != "PersistentVolumeClaim" {
		t.Errorf("%s %s and %s %s", claim.APIVersion, claim.Kind, job.APIVersion, job.Kind)
	}

	spec, pod := job.Spec, job.Spec.Template.Spec
	if *spec.CompletionMode != batchv1.IndexedCompletion || *spec.Parallelism < 1 ||
		*spec.Completions < *spec.Parallelism || *spec.BackoffLimitPerIndex < 1 {
		t.Errorf("mode %s, completions %d, parallelism %d, backoff %d", *spec.CompletionMode,
			*spec.Completions, *spec.Parallelism, *spec.BackoffLimitPerIndex)
	}
	// What Kubernetes wants of a job with a failure policy.
	if pod.RestartPolicy != corev1.RestartPolicyNever || *spec.PodReplacementPolicy !=
		batchv1.Failed {
		t.Errorf("restartPolicy %s, podReplacementPolicy %s", pod.RestartPolicy,
			*spec.PodReplacementPolicy)
	}
	// The lock of a dead node's run counts for two minutes: the pauses, of 10 s, doubled each time,
	// are longer.
	if pauses := 10 * (1<<*spec.BackoffLimitPerIndex - 1); pauses < 120 {
		t.Errorf("all attempts within %d s, want 120 at least", pauses)
	}
	if len(pod.Containers) != 1 {
		t.Fatalf("%d containers, want 1", len(pod.Containers))
	}
	c := pod.Containers[0]

	actions := map[int]batchv1.PodFailurePolicyAction{}
	disruptions := false
	for _, rule := range spec.PodFailurePolicy.Rules {
		if on := rule.OnExitCodes; on != nil {
			if *on.ContainerName != c.Name || on.Operator !=
				batchv1.PodFailurePolicyOnExitCodesOpIn || !slices.IsSorted(on.Values) {
				t.Errorf("rule %v of container %s, want %s and In", on, *on.ContainerName, c.Name)
			}
			for _, status := range on.Values {
				actions[int(status)] = rule.Action
			}
		}
		for _, on := range rule.OnPodConditions {
			disruptions = disruptions || rule.Action == batchv1.PodFailurePolicyActionIgnore &&
				on.Type == corev1.DisruptionTarget && on.Status == corev1.ConditionTrue
		}
	}
	if len(actions) != 2 || actions[cli.Stopped] != batchv1.PodFailurePolicyActionIgnore ||
		actions[cli.BadUsage] != batchv1.PodFailurePolicyActionFailIndex || !disruptions {
		t.Errorf("exit statuses %v, disruptions ignored: %v", actions, disruptions)
	}
	if *pod.TerminationGracePeriodSeconds < 60 {
		t.Errorf("%d s to save, want 60 at least", *pod.TerminationGracePeriodSeconds)
	}
	if gpus := c.Resources.Limits["nvidia.com/gpu"]; gpus.Value() != 1 {
		t.Errorf("%s GPUs, want 1", gpus.String())
	}

	// All paths are on the claim's volume.
	volumes, mounts := pod.Volumes, c.VolumeMounts
	if len(volumes) != 1 || volumes[0].PersistentVolumeClaim.ClaimName != claim.Name ||
		len(mounts) != 1 || mounts[0].Name != volumes[0].Name {
		t.Fatalf("volumes %v, mounts %v, claim %s", volumes, mounts, claim.Name)
	}
	paths := 0
	for _, arg := range append(c.Command, c.Env[0].Value) {
		if _, path, ok := strings.Cut(arg, "=/"); ok || strings.HasPrefix(arg, "/data") {
			if ok {
				arg = "/" + path
			}
			paths++
			if !strings.HasPrefix(arg, mounts[0].MountPath+"/") {
				t.Errorf("%s is not below %s", arg, mounts[0].MountPath)
			}
		}
	}
	if paths != 3 {
		t.Errorf("%d paths, want those of the list, the run folders and the cache", paths)
	}

	// The command's flags are cifar's: with the list in another place they name its run.
	want := config.Preset("tiny", "gdm")
	want.Offline = true
	run, err := want.Run()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if _, err := sweep.Plan(dir, "runs", []sweep.Run{run}); err != nil {
		t.Fatal(err)
	}
	t.Setenv("JOB_COMPLETION_INDEX", "0")
	args := slices.Clone(c.Command[1:])
	args[0] = strings.Replace(args[0], "/data/sweep", dir, 1)
	got, do, err := config.Parse(args, "")
	want.Runs = "/data/runs"
	if err != nil || do.Task != 0 || got != want {
		t.Errorf("%q: task %d of %+v, %v; want 0 of %+v", args, do.Task, got, err, want)
	}
}
