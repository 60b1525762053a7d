// Package slurmtest gives a test a Slurm cluster: one node of two processors, on loopback, with the
// programs of Debian's packages slurm-wlm and munge. It needs no setup and leaves nothing behind.
package slurmtest

import (
	"crypto/rand"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// patience is the longest time that anything may take, on a machine that is shared.
const patience = 2 * time.Minute

// conf is the slurm.conf:
//   - pgid and none avoid control groups, which a container may not create;
//   - config_overrides gives the node two processors, even on a machine with one;
//   - batch_sched_delay and sched_interval let jobs start within a second;
//   - cred_expire is the time in seconds that a requeued task waits, 120 by default;
//   - KillWait is the time in seconds from TERM to KILL.
const conf = `ClusterName=test
SlurmctldHost=%[1]s(127.0.0.1)
SlurmctldPort=%[2]d
SlurmdPort=%[3]d
SlurmUser=%[4]s
SlurmdUser=%[4]s
AuthType=auth/munge
AuthInfo=socket=%[5]s/munge.socket,cred_expire=10
CredType=cred/munge
StateSaveLocation=%[5]s/state
SlurmdSpoolDir=%[5]s/spool
SlurmctldPidFile=%[5]s/slurmctld.pid
SlurmdPidFile=%[5]s/slurmd.pid
ProctrackType=proctrack/pgid
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
JobAcctGatherType=jobacct_gather/none
JobCompType=jobcomp/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
ReturnToService=2
KillWait=2
SlurmdParameters=config_overrides
SchedulerParameters=batch_sched_delay=0,sched_interval=1
NodeName=n1 NodeHostname=localhost NodeAddr=127.0.0.1 CPUs=2 RealMemory=500
PartitionName=test Nodes=n1 Default=YES State=UP MaxTime=INFINITE
`

// Cluster is a cluster that is up.
type Cluster struct {
	user    string
	dir     string // has all files; short, since a socket's path must be below 108 bytes
	daemons []*daemon
}

// daemon is munged, slurmctld or slurmd.
type daemon struct {
	name  string
	cmd   *exec.Cmd
	ended chan struct{}
}

// Start starts a cluster, which ends with the test, and sets the environment so that sbatch,
// squeue, scancel and scontrol use it. It skips the test if one of the programs is not installed.
func Start(t *testing.T) *Cluster {
	t.Helper()
	var folders []string
	program := map[string]string{}
	for _, name := range []string{"munged", "slurmctld", "slurmd", "sbatch", "squeue", "scancel",
		"scontrol", "sinfo"} {
		path, err := find(name)
		if err != nil {
			t.Skipf("%s is not installed: apt-get install slurm-wlm munge", name)
		}
		program[name] = path
		folders = append(folders, filepath.Dir(path))
	}
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	host, _, _ = strings.Cut(host, ".") // the name by which slurmctld looks for itself
	dir, err := os.MkdirTemp("/tmp", "slurm-")
	if err != nil {
		t.Fatal(err)
	}
	c := &Cluster{user: me.Username, dir: dir}
	t.Setenv("SLURM_CONF", c.path("slurm.conf"))
	t.Setenv("PATH", strings.Join(append(folders, os.Getenv("PATH")), string(os.PathListSeparator)))
	t.Cleanup(func() { c.end(t) }) // after Setenv, so that it ends before the variables do
	text := fmt.Sprintf(conf, host, freePort(t), freePort(t), me.Username, dir)
	for _, folder := range []string{"state", "spool"} {
		if err := os.Mkdir(c.path(folder), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(c.path("slurm.conf"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	key := make([]byte, 128)
	rand.Read(key)
	if err := os.WriteFile(c.path("munge.key"), key, 0o400); err != nil {
		t.Fatal(err)
	}

	// --force allows the socket's folder to lie in one of another user, such as /tmp.
	c.start(t, program["munged"], "--force", "--foreground", "--key-file="+c.path("munge.key"),
		"--socket="+c.path("munge.socket"), "--pid-file="+c.path("munged.pid"),
		"--log-file="+c.path("munged.log"), "--seed-file="+c.path("munged.seed"))
	c.Until(t, "munged's socket is there", func() bool {
		_, err := os.Stat(c.path("munge.socket"))
		return err == nil
	})
	c.start(t, program["slurmctld"], "-D", "-c", "-f", c.path("slurm.conf"))
	c.start(t, program["slurmd"], "-D", "-N", "n1", "-f", c.path("slurm.conf"))
	c.Until(t, "the node is idle", func() bool {
		out, err := exec.Command("sinfo", "--noheader", "--format=%T").Output()
		return err == nil && strings.TrimSpace(string(out)) == "idle"
	})
	return c
}

// find looks for a program in PATH and in the folders of daemons, also by Debian's name for it.
func find(name string) (path string, err error) {
	for _, folder := range []string{"", "/usr/sbin", "/sbin", "/usr/local/sbin"} {
		for _, suffix := range []string{"", "-wlm"} {
			if path, err = exec.LookPath(filepath.Join(folder, name+suffix)); err == nil {
				return path, nil
			}
		}
	}
	return "", err
}

// freePort is a port on which nobody listens now.
func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// path is the path of one of the cluster's files.
func (c *Cluster) path(name string) string { return filepath.Join(c.dir, name) }

// start starts a daemon whose output goes into a file. The kernel kills it when the thread that
// started it ends, even if the test's process is killed. So that thread waits for the daemon.
func (c *Cluster) start(t *testing.T, path string, args ...string) {
	t.Helper()
	d := &daemon{name: filepath.Base(path), cmd: exec.Command(path, args...),
		ended: make(chan struct{})}
	out, err := os.Create(c.path(d.name + ".out"))
	if err != nil {
		t.Fatal(err)
	}
	d.cmd.Stdout, d.cmd.Stderr = out, out
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(d.ended)
		defer out.Close()
		err := d.cmd.Start()
		started <- err
		if err == nil {
			d.cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		t.Fatal(err)
	}
	c.daemons = append(c.daemons, d)
}

// Until waits for a condition, at most for two minutes and only while all daemons live.
func (c *Cluster) Until(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !done(); time.Sleep(20 * time.Millisecond) {
		for _, d := range c.daemons {
			select {
			case <-d.ended:
				t.Fatalf("%s has ended before %s:\n%s", d.name, what, c.logs())
			default:
			}
		}
		if time.Now().After(deadline) {
			t.Fatalf("%v have passed before %s:\n%s", patience, what, c.logs())
		}
	}
}

// logs is the output of the daemons.
func (c *Cluster) logs() string {
	var all strings.Builder
	for _, d := range c.daemons {
		text, _ := os.ReadFile(c.path(d.name + ".out"))
		fmt.Fprintf(&all, "%s:\n%s", d.name, text)
	}
	return all.String()
}

// end cancels all jobs, waits until their processes, which could outlive the daemons, have ended,
// and ends the daemons, the last one first.
func (c *Cluster) end(t *testing.T) {
	if len(c.daemons) == 3 {
		c.Do(t, "scancel", "--user="+c.user)
		c.Until(t, "all jobs have ended", func() bool {
			return c.Do(t, "squeue", "--noheader") == ""
		})
	}
	if t.Failed() {
		t.Log(c.logs())
	}
	for i := len(c.daemons) - 1; i >= 0; i-- {
		d := c.daemons[i]
		d.cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-d.ended:
		case <-time.After(patience):
			t.Errorf("%s does not end: killed", d.name)
			d.cmd.Process.Kill()
			<-d.ended
		}
	}
	if err := os.RemoveAll(c.dir); err != nil {
		t.Error(err)
	}
}

// Do executes one of Slurm's programs, such as squeue, and returns its output.
func (c *Cluster) Do(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
	return string(out)
}
