package slurmtest

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// A cluster executes jobs, and leaves nothing behind if it ends with jobs in its queue.
func TestCluster(t *testing.T) {
	var dir, pid string
	t.Run("up", func(t *testing.T) {
		c := Start(t)
		dir = c.dir
		here := t.TempDir()
		c.Do(t, "sbatch", "--output="+here+"/%a", "--array=3,5",
			"--wrap=echo $SLURM_ARRAY_TASK_ID of $SLURM_JOB_NODELIST")
		c.Until(t, "both tasks have ended", func() bool {
			return c.Do(t, "squeue", "--noheader") == ""
		})
		for _, task := range []string{"3", "5"} {
			if got, err := os.ReadFile(filepath.Join(here, task)); string(got) != task+" of n1\n" {
				t.Errorf("task %s has printed %q, %v", task, got, err)
			}
		}
		c.Do(t, "sbatch", "--output="+here+"/pid", "--array=0-4", "--wrap=echo $$; sleep 1000")
		c.Until(t, "a job runs", func() bool {
			text, _ := os.ReadFile(here + "/pid")
			pid, _, _ = strings.Cut(string(text), "\n")
			return pid != ""
		})
	})
	if t.Skipped() || dir == "" {
		return
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("%s is left: %v", dir, err)
	}
	if out, err := exec.Command("ps", "-o", "stat=,args=", "-p", pid).Output(); err == nil &&
		!strings.HasPrefix(string(out), "Z") {
		t.Errorf("the job's process is left: %s", out)
	}
	if out, err := exec.Command("pgrep", "-fa", dir).Output(); err == nil {
		t.Errorf("processes are left: %s", out)
	}
}
