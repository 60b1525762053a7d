//go:build unix

package main

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"momentum/datasets"
	"momentum/internal/cifartest"
	"momentum/internal/cli"
	"momentum/internal/fetch"
)

// order is what a download is to do. It is the argument of the victim that downloads, as JSON.
type order struct {
	Set, Dir     string
	Mirror, From string // as the flags of scripts/download
	Tarball      datasets.Tarball
	Certificate  []byte // of an HTTPS server, as PEM
}

// The limits of the victim. They are short, for servers on this machine, but not too short for a
// busy one.
const (
	attempts = 4
	backoff  = time.Millisecond
	stall    = 500 * time.Millisecond
)

// download does what scripts/download does, for a tarball that is not the official one.
func download(ctx context.Context, stdout, _ io.Writer, args []string) error {
	var o order
	if err := json.Unmarshal([]byte(args[0]), &o); err != nil {
		return err
	}
	get := fetch.Options{Attempts: attempts, Backoff: backoff, Stall: stall}
	if o.Certificate != nil {
		known := x509.NewCertPool()
		known.AppendCertsFromPEM(o.Certificate)
		get.Client = &http.Client{Transport: &http.Transport{
			TLSClientConfig: &tls.Config{RootCAs: known}}}
	}
	_, err := datasets.Download(ctx, o.Set, datasets.Options{Dir: o.Dir, Mirror: o.Mirror,
		From: o.From, Tarball: &o.Tarball, Fetch: get, Out: stdout})
	return err
}

// downloading is a case of a download: CIFAR-10 or CIFAR-100 with few images, and the folder.
type downloading struct {
	set     cifartest.Set
	entries []cifartest.Entry
	tarball []byte // that of the entries
	root    string // the folder of the case
	data    string // the folder of the data
	order   order
	victim  victim
	want    map[string]string // everything in the folder of the data at the end
	given   map[string]string // everything in the folder of the case, but for the data
	names   []string          // one of which a refusal must have
}

// newDownloading draws a case. Its tarball has 10 images in each file.
func (c *campaign) newDownloading(name string, random *rand.Rand) (*downloading, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	const records = 10
	sets := []cifartest.Set{cifartest.CIFAR10(), cifartest.CIFAR100()}
	d := &downloading{set: sets[random.IntN(2)], root: filepath.Join(c.work, name),
		victim: victim{command: "download", program: program, patience: c.patience},
		given:  map[string]string{}}
	d.entries = d.set.Entries(records, random)
	d.tarball = cifartest.Pack(d.entries)
	d.data = filepath.Join(d.root, "data")
	d.order = order{Set: d.set.Name, Dir: d.data, Tarball: datasets.Tarball{
		SHA256: sum(d.tarball), Size: int64(len(d.tarball)), Records: records}}
	d.names = []string{d.data}
	d.want = map[string]string{d.set.Folder: fs.ModeDir.String()}
	var sums strings.Builder
	for _, e := range d.entries[len(d.entries)-len(d.set.Files):] {
		d.want[e.Name] = string(e.Content)
		fmt.Fprintf(&sums, "%s  %s\n", sum(e.Content), filepath.Base(e.Name))
	}
	d.want[d.set.Folder+"/SHA256SUMS"] = sums.String()
	return d, os.Mkdir(d.root, 0o777)
}

func sum(content []byte) string { return fmt.Sprintf("%x", sha256.Sum256(content)) }

// start starts the download. Downloads at the same time have different numbers.
func (d *downloading) start(ctx context.Context, number int) (*process, error) {
	text, err := json.Marshal(d.order)
	if err != nil {
		return nil, err
	}
	v := d.victim
	v.args = []string{string(text)}
	return v.startAs(ctx, d.root, fmt.Sprintf("%s.stderr-%d", d.root, number))
}

// once starts the download, waits for its end and judges it.
func (d *downloading) once(ctx context.Context) (outcome, reason string, err error) {
	p, err := d.start(ctx, 0)
	if err != nil {
		return "", "", err
	}
	outcome, reason = d.judge(p.end())
	return outcome, reason, ctx.Err()
}

// judge is the outcome of a download, and what is wrong if it is wrong. A download that is refused
// may leave the tarball or a part of it, from which the next one goes on.
func (d *downloading) judge(status int, stderr string) (outcome, reason string) {
	got, err := everything(d.data)
	if err != nil {
		return wrong, err.Error()
	}
	others, err := everything(d.root)
	if err != nil {
		return wrong, err.Error()
	}
	maps.DeleteFunc(others, func(path, _ string) bool {
		return path == "data" || strings.HasPrefix(path, "data"+string(filepath.Separator))
	})
	bad := differences(others, d.given)
	named := slices.ContainsFunc(d.names, func(name string) bool {
		return strings.Contains(stderr, name)
	})
	switch {
	case status == cli.Done && stderr == "":
		bad, outcome = append(bad, differences(got, d.want)...), recovered
	case status == cli.Failed && strings.HasPrefix(stderr, "download: ") && named &&
		strings.Count(stderr, "\n") == 1:
		delete(got, d.set.Tarball+".part")
		if got[d.set.Tarball] == string(d.tarball) { // there was no room for its files
			delete(got, d.set.Tarball)
		}
		bad, outcome = append(bad, differences(got, nil)...), refused
	default:
		return wrong, fmt.Sprintf("status %d, %.300q", status, stderr)
	}
	if bad != nil {
		return wrong, fmt.Sprintf("status %d, and yet %s", status, strings.Join(bad, ", "))
	}
	return outcome, ""
}

// eachKind executes n cases of one name: all kinds in a random order, and then once more. The order
// has a name of its own.
func eachKind[T any](ctx context.Context, c *campaign, name string, n int, order string, all []T,
	execute func(ctx context.Context, number int, kind T) error) error {
	kinds := c.random(order, 0).Perm(len(all))
	first, last := c.numbers(name, n)
	for number := first; number < last && ctx.Err() == nil; number++ {
		if err := execute(ctx, number, all[kinds[number%len(all)]]); err != nil {
			return err
		}
	}
	return nil
}

// conclude counts the outcome of a case, and whether it is the one that is wanted: "" for either. A
// download that was refused must then succeed with the right source, which right sets.
func (c *campaign) conclude(ctx context.Context, t tally, name, kind string, d *downloading,
	outcome, reason, want string, right func() error) error {
	if outcome == refused {
		if err := right(); err != nil {
			return err
		}
		again, why, err := d.once(ctx)
		if err != nil {
			return err
		}
		if again != recovered {
			outcome, reason = wrong, "with the right source after it was refused: "+again+" "+why
		}
	}
	if outcome != wrong && want != "" && outcome != want {
		outcome, reason = wrong, outcome+", want "+want
	}
	t.add(kind, outcome)
	if outcome == wrong {
		c.fail(name, d.root, "%s, %s: %s", d.set.Name, kind, reason)
		return nil
	}
	return os.RemoveAll(d.root)
}

// everything is the content of all files below a folder, by path, and the mode of what is no
// regular file. A folder that is missing has nothing.
func everything(root string) (map[string]string, error) {
	all := map[string]string{}
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil || path == root {
			return err
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		if !e.Type().IsRegular() {
			all[name] = e.Type().String()
			return nil
		}
		content, err := os.ReadFile(path)
		all[name] = string(content)
		return err
	})
	if errors.Is(err, fs.ErrNotExist) {
		return all, nil
	}
	return all, err
}
