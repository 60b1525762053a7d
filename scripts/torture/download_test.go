//go:build unix

package main

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"momentum/internal/cli"
	"momentum/internal/fetch/fetchtest"
)

// Each kind of bad server and of hostile tarball once, always the same cases: none goes wrong, and
// the tables have them all.
func TestDownloads(t *testing.T) {
	if testing.Short() {
		t.Skip("starts commands some 50 times")
	}
	report, printed := reported(t, "-kills=0", "-damages=0", "-crowds=0", "-servers=18",
		"-archives=14")
	var rows []string
	for _, kind := range troubles() {
		rows = append(rows, kind.name)
	}
	for _, kind := range hostilities() {
		rows = append(rows, kind.name)
	}
	for _, name := range rows {
		if !strings.Contains(report, "| "+name+" | 1 | 0 | 0 |\n") &&
			!strings.Contains(report, "| "+name+" | 0 | 1 | 0 |\n") &&
			(name != "disk full" || !strings.Contains(printed, errNoDisk.Error())) {
			t.Errorf("no row of %s in\n%s", name, report)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(os.TempDir(), "*")); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

// A download that ends in another way than it should is counted as wrong, is an error in the end,
// and keeps its folder.
func TestWrongDownload(t *testing.T) {
	for want, test := range map[string]func(c *campaign) error{
		"flip: refused, want recovered": func(c *campaign) error {
			return c.serve(t.Context(), 1, trouble{name: "flip", serve: func(f fetchtest.File,
				random *rand.Rand) ([]http.HandlerFunc, string) {
				return requests(flip(f, 5, random).Whole), recovered
			}})
		},
		"whole: recovered, want refused": func(c *campaign) error {
			return c.serve(t.Context(), 1, trouble{name: "whole", serve: func(f fetchtest.File,
				random *rand.Rand) ([]http.HandlerFunc, string) {
				return requests(f.Whole), refused
			}})
		},
		"evil: status 0, and yet evil is left behind": func(c *campaign) error {
			return c.serve(t.Context(), 1, trouble{name: "evil", serve: whole, download: func(
				ctx context.Context, d *downloading, _ *fetchtest.Server,
				_ *rand.Rand) (outcome, reason string, err error) {
				if err := os.WriteFile(filepath.Join(d.root, "evil"), nil, 0o666); err != nil {
					return "", "", err
				}
				return d.once(ctx)
			}})
		},
		"other: status 0, and yet ": func(c *campaign) error {
			return c.unpack(t.Context(), 1, hostility{name: "other", pack: func(d *downloading,
				random *rand.Rand) ([]byte, string) {
				other, err := c.newDownloading("other", random) // with other images
				if err != nil {
					t.Fatal(err)
				}
				d.set, d.order.Set = other.set, other.order.Set
				return other.tarball, recovered
			}})
		},
	} {
		var out bytes.Buffer
		c := newCampaign(options{seed: 1, patience: time.Minute}, t.TempDir(), &out)
		if err := test(c); err != nil {
			t.Fatal(err)
		}
		counted := fmt.Sprint(c.served, c.unpacked)
		if len(c.wrong) != 1 || !strings.Contains(c.wrong[0], want) ||
			!strings.Contains(counted, ":map[wrong:1]]") {
			t.Errorf("%q, counted as %s, want %s", c.wrong, counted, want)
		}
		if err := c.end(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("the campaign ends with %v", err)
		}
		if kept, _ := filepath.Glob(filepath.Join(c.work, "*-1")); len(kept) != 1 {
			t.Errorf("kept %q", kept)
		}
	}
}

// What counts as recovered, refused and wrong. It is long because it is a table of cases.
func TestJudgeDownload(t *testing.T) {
	c := newCampaign(options{seed: 1, patience: time.Minute}, t.TempDir(), os.Stderr)
	d, err := c.newDownloading("case", c.random("case", 1))
	if err != nil {
		t.Fatal(err)
	}
	d.names = []string{"http://127.0.0.1:7"}
	good, tarball := map[string]string{}, d.set.Tarball
	for name, content := range d.want {
		good["data/"+name] = content
	}
	if err := os.Mkdir(d.data, 0o777); err != nil {
		t.Fatal(err)
	}
	const line = "download: http://127.0.0.1:7/cifar: 404 Not Found\n"
	for i, tt := range []struct {
		also   map[string]string // beside the good files, or alone with a status of failure
		status int
		stderr string
		want   string
	}{
		{nil, cli.Done, "", recovered},
		{map[string]string{"data/" + d.set.Folder + ".lock": ""}, cli.Done, "", wrong},
		{map[string]string{"data/" + tarball + ".part": ""}, cli.Done, "", wrong},
		{map[string]string{"evil": ""}, cli.Done, "", wrong},
		{map[string]string{"data/" + d.set.Folder + "/SHA256SUMS": ""}, cli.Done, "", wrong},
		{nil, cli.Done, "warning\n", wrong},
		{nil, cli.Failed, line, refused},
		{map[string]string{"data/" + tarball + ".part": "x"}, cli.Failed, line, refused},
		{map[string]string{"data/" + tarball: string(d.tarball)}, cli.Failed, line, refused},
		{map[string]string{"data/" + tarball: "x"}, cli.Failed, line, wrong},
		{map[string]string{"data/" + d.set.Folder: fs.ModeDir.String()}, cli.Failed, line, wrong},
		{map[string]string{"evil": ""}, cli.Failed, line, wrong},
		{nil, cli.Failed, line + line, wrong},
		{nil, cli.Failed, "download: 404 Not Found\n", wrong}, // of what?
		{nil, cli.Failed, "panic: http://127.0.0.1:7\n", wrong},
		{nil, cli.BadUsage, line, wrong},
	} {
		files := map[string]string{}
		if tt.status == cli.Done {
			for name, content := range good {
				files[name] = content
			}
		}
		for name, content := range tt.also {
			files[name] = content
		}
		for _, left := range []string{d.data, filepath.Join(d.root, "evil")} {
			if err := os.RemoveAll(left); err != nil {
				t.Fatal(err)
			}
		}
		for name, content := range files {
			path := filepath.Join(d.root, name)
			if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
				t.Fatal(err)
			}
			if content == fs.ModeDir.String() {
				err = os.MkdirAll(path, 0o777)
			} else {
				err = os.WriteFile(path, []byte(content), 0o666)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if got, reason := d.judge(tt.status, tt.stderr); got != tt.want {
			t.Errorf("case %d: %s (%s), want %s", i, got, reason, tt.want)
		}
	}
}

// Some of the downloads that are killed, and of those to a full disk, go on where they were.
func TestInterruptedDownload(t *testing.T) {
	for _, kind := range troubles() {
		if kind.name != "killed" && kind.name != "disk full" {
			continue
		}
		var out bytes.Buffer
		c := newCampaign(options{seed: 1, patience: time.Minute}, t.TempDir(), &out)
		download, resumed := kind.download, 0
		kind.download = func(ctx context.Context, d *downloading, s *fetchtest.Server,
			random *rand.Rand) (outcome, reason string, err error) {
			outcome, reason, err = download(ctx, d, s, random)
			for _, r := range s.Ranges() {
				if r != "" {
					resumed++
				}
			}
			return outcome, reason, err
		}
		for number := range 3 {
			if err := c.serve(t.Context(), number, kind); err != nil {
				t.Fatal(err)
			}
		}
		if strings.Contains(out.String(), errNoDisk.Error()) {
			t.Log(out.String())
		} else if resumed == 0 || c.served[kind.name][recovered] != 3 || len(c.wrong) > 0 {
			t.Errorf("%s: %d requests go on where the last one ended; %v, %q", kind.name, resumed,
				c.served, c.wrong)
		}
	}
}

// A request for bytes before those that are asked for is found.
func TestAgain(t *testing.T) {
	for _, tt := range []struct {
		ranges []string
		from   int64
		want   bool
	}{
		{nil, 7, false}, {[]string{""}, 0, false}, {[]string{""}, 1, true},
		{[]string{"bytes=7-", "bytes=9-"}, 7, false}, {[]string{"bytes=9-", "bytes=6-"}, 7, true},
	} {
		if got := again(tt.ranges, tt.from); got != tt.want {
			t.Errorf("%q from %d: %v", tt.ranges, tt.from, got)
		}
	}
}

// How a process of a crowd may end, and what is wrong.
func TestCrowdEnd(t *testing.T) {
	const line = "cifar: runs/a is in use, wait for it or stop it: runs/a.lock: held by process " +
		"7 on host since 2026-12-01 10:00:00\n"
	v := &victim{command: "cifar"}
	for _, tt := range []struct {
		doomed bool
		status int
		stderr string
		want   string
	}{
		{false, cli.Done, "", done}, {true, cli.Done, "", done}, {true, -1, "", killed},
		{false, cli.Failed, line, locked}, {true, cli.Failed, line, locked},
		{false, -1, "", wrong}, // does not end, or another one killed it
		{false, cli.Done, line, wrong}, {false, cli.Failed, line + line, wrong},
		{false, cli.Failed, "cifar: runs/a/config.json: file exists\n", wrong},
		{false, cli.Failed, "", wrong}, {false, cli.BadUsage, line, wrong},
	} {
		if got := v.crowdEnd(tt.doomed, tt.status, tt.stderr); got != tt.want {
			t.Errorf("%v, status %d, %q: %s, want %s", tt.doomed, tt.status, tt.stderr, got,
				tt.want)
		}
	}
}
