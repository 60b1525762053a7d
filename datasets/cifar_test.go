package datasets

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"momentum/internal/cifartest"
	"momentum/internal/fetch"
	"momentum/internal/fetch/fetchtest"
)

// tiny returns an archive like CIFAR-10's or CIFAR-100's, with 3 + 2 training and 2 test images.
func tiny(labelBytes int) archive {
	return archive{
		name: "cifar10", tarball: "tiny.tar.gz", folder: "tiny",
		train: []member{{"one.bin", 3}, {"two.bin", 2}}, test: []member{{"test.bin", 2}},
		labelBytes: labelBytes, classes: strings.Fields("a b c d e f g h i j"),
	}
}

// records returns the content of a member. Record i has class i mod 10, and the pixel (row, column)
// has the values 64·channel + row + column.
func records(a archive, m member) []byte {
	var b []byte
	for i := range m.records {
		if a.labelBytes == 2 {
			b = append(b, 200) // the coarse label, which is ignored
		}
		b = append(b, byte(i%10))
		for channel := range Channels {
			for row := range Side {
				for column := range Side {
					b = append(b, byte(64*channel+row+column))
				}
			}
		}
	}
	return b
}

// put writes the archive's files into dir as a download does, but without checksums.
func put(t *testing.T, dir string, a archive) (folder string) {
	t.Helper()
	folder = filepath.Join(dir, a.folder)
	if err := os.MkdirAll(folder, 0o777); err != nil {
		t.Fatal(err)
	}
	for _, m := range a.members() {
		if err := os.WriteFile(filepath.Join(folder, m.name), records(a, m), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	return folder
}

func TestLoad(t *testing.T) {
	for _, labelBytes := range []int{1, 2} {
		a := tiny(labelBytes)
		dir := t.TempDir()
		put(t, dir, a)
		train, test, err := a.load(t.Context(), Options{Dir: dir, Offline: true})
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(train.Labels, []uint8{0, 1, 2, 0, 1}) ||
			!bytes.Equal(test.Labels, []uint8{0, 1}) {
			t.Errorf("labels %v, %v", train.Labels, test.Labels)
		}
		if train.N() != 5 || len(train.Pixels) != 5*32*32*3 || train.Classes != 10 {
			t.Errorf("%d images, %d pixels, %d classes", train.N(), len(train.Pixels),
				train.Classes)
		}
		// Image 4, row 2, column 7: red 9, green 64+9, blue 128+9, side by side.
		pixel := train.Pixels[((4*32+2)*32+7)*3:][:3]
		if !bytes.Equal(pixel, []uint8{9, 73, 137}) {
			t.Errorf("pixel %v, want [9 73 137]", pixel)
		}
	}
}

// A set that is not on disk has random images if they do, as many as its files have, the same ones
// each time; nothing is downloaded. Images on disk are taken as they are.
func TestLoadOrRandom(t *testing.T) {
	a, o := tiny(2), Options{Dir: t.TempDir(), OrRandom: true, Mirror: "http://127.0.0.1:1"}
	train, test, err := a.load(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range []*Images{train, test} {
		if !m.Random || len(m.Pixels) != m.N()*32*32*3 || m.Classes != 10 || m.Mean != a.mean {
			t.Errorf("%d pixels of %d images, %d classes, random: %v", len(m.Pixels), m.N(),
				m.Classes, m.Random)
		}
		sum := 0.0
		for _, p := range m.Pixels {
			sum += float64(p)
		}
		// The mean of 6,144 or more bytes is 127.5 ± 1 (74/√6144 = 0.94).
		if mean := sum / float64(len(m.Pixels)); math.Abs(mean-127.5) > 5 {
			t.Errorf("the mean pixel is %v", mean)
		}
		if label := slices.Max(m.Labels); label > 9 {
			t.Errorf("label %d of 10 classes", label)
		}
	}
	if train.N() != 5 || test.N() != 2 || bytes.Equal(train.Pixels[:3072], test.Pixels[:3072]) {
		t.Errorf("%d training and %d test images, want 5 and 2 others", train.N(), test.N())
	}
	if again, _, err := a.load(t.Context(), o); err != nil ||
		!bytes.Equal(again.Pixels, train.Pixels) || !bytes.Equal(again.Labels, train.Labels) {
		t.Errorf("other images the second time, %v", err)
	}
	if found := list(t, o.Dir); len(found) > 0 {
		t.Errorf("left %q behind", found)
	}
	put(t, o.Dir, a)
	if train, _, err = a.load(t.Context(), o); err != nil || train.Random ||
		!bytes.Equal(train.Labels, []uint8{0, 1, 2, 0, 1}) {
		t.Errorf("labels %v, random: %v, %v; want those on disk", train.Labels, train.Random, err)
	}
}

func TestLoadDamaged(t *testing.T) {
	for _, tt := range []struct {
		name   string
		damage func(b []byte) []byte
		want   string
	}{
		{"truncated", func(b []byte) []byte { return b[:6145] }, "two.bin: 6145 bytes, want 6146 " +
			"(2 records of 3073); go run ./scripts/download -data=cifar10 -data-dir="},
		{"over-long", func(b []byte) []byte { return append(b, 0) },
			"two.bin: 6147 bytes, want 6146 (2 records of 3073)"},
		{"label", func(b []byte) []byte { b[3073] = 10; return b },
			"two.bin: record 1: label 10, want 0 to 9"},
		{"empty", func(b []byte) []byte { return nil }, "two.bin: 0 bytes, want 6146"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a, dir := tiny(1), t.TempDir()
			path := filepath.Join(put(t, dir, a), "two.bin")
			b := tt.damage(records(a, a.train[1]))
			if err := os.WriteFile(path, b, 0o666); err != nil {
				t.Fatal(err)
			}
			_, _, err := a.load(t.Context(), Options{Dir: dir, Offline: true})
			if err == nil || !strings.Contains(err.Error(), tt.want) ||
				strings.Contains(err.Error(), "\n") {
				t.Errorf("got %v\nwant %s", err, tt.want)
			}
		})
	}
	t.Run("missing", func(t *testing.T) {
		a, dir := tiny(1), t.TempDir()
		os.Remove(filepath.Join(put(t, dir, a), "test.bin"))
		if _, _, err := a.load(t.Context(), Options{Dir: dir}); !errors.Is(err, os.ErrNotExist) ||
			!strings.Contains(err.Error(), "test.bin") {
			t.Errorf("got %v", err)
		}
	})
}

// Another tarball with a set's files and fewer images takes the place of the official one; the
// options of fetch count.
func TestTarball(t *testing.T) {
	for _, set := range []cifartest.Set{cifartest.CIFAR10(), cifartest.CIFAR100()} {
		packed := cifartest.Pack(set.Entries(3, rand.New(rand.NewPCG(1, 2))))
		server := fetchtest.Start(fetchtest.Status(503), fetchtest.File(packed).Whole)
		defer server.Close()
		o := Options{Dir: t.TempDir(), Mirror: server.URL, Fetch: fetch.Options{Attempts: 1},
			Tarball: &Tarball{fmt.Sprintf("%x", sha256.Sum256(packed)), int64(len(packed)), 3}}
		if _, err := Download(t.Context(), set.Name, o); err == nil ||
			!strings.Contains(err.Error(), "503 Service Unavailable; gave up after 1 attempts") {
			t.Errorf("%s: %v after one attempt", set.Name, err)
		}
		train, test, err := Load(t.Context(), set.Name, o)
		if err != nil {
			t.Fatal(err)
		}
		if n := 3 * (len(set.Files) - 1); train.N() != n || test.N() != 3 {
			t.Errorf("%s: %d and %d images, want %d and 3", set.Name, train.N(), test.N(), n)
		}
	}
	if f, err := Describe("cifar10"); err != nil || f.Train != 50000 {
		t.Errorf("the official one has %d images, %v", f.Train, err)
	}
}

func TestLoadCancelled(t *testing.T) {
	a, dir := tiny(1), t.TempDir()
	put(t, dir, a)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := a.load(ctx, Options{Dir: dir}); !errors.Is(err, context.Canceled) ||
		strings.Contains(err.Error(), "anew") {
		t.Errorf("got %v", err)
	}
}

func TestReadRecordsLength(t *testing.T) {
	a := tiny(1)
	good := records(a, a.train[0])
	for n, want := range map[int]string{
		0:         "ends in record 0, want 3",
		3073 + 1:  "ends in record 1, want 3",
		len(good): "",
	} {
		images := &Images{Classes: 10, Pixels: make([]uint8, 3*imageBytes),
			Labels: make([]uint8, 3)}
		if err := readRecords(bytes.NewReader(good[:n]), 1, images); (err == nil) != (want == "") ||
			(err != nil && err.Error() != want) {
			t.Errorf("%d bytes: %v, want %q", n, err, want)
		}
	}
	images := &Images{Classes: 10, Pixels: make([]uint8, 3*imageBytes), Labels: make([]uint8, 3)}
	err := readRecords(bytes.NewReader(append(good, 1)), 1, images)
	if err == nil || err.Error() != "goes on after record 2, want 3 records" {
		t.Errorf("got %v", err)
	}
}

func TestSlice(t *testing.T) {
	train, _, err := loadMini()
	if err != nil {
		t.Fatal(err)
	}
	s := train.Slice(3, 5)
	if s.N() != 2 || !bytes.Equal(s.Labels, []uint8{3, 4}) || len(s.Pixels) != 2*imageBytes ||
		&s.Pixels[0] != &train.Pixels[3*imageBytes] || s.Classes != 10 {
		t.Errorf("Slice(3, 5): %d images, labels %v, %d pixels", s.N(), s.Labels, len(s.Pixels))
	}
}

func TestNames(t *testing.T) {
	if got := Names(); !slices.Equal(got, []string{"cifar10-mini", "cifar10", "cifar100"}) {
		t.Errorf("Names() = %q", got)
	}
	_, _, err := Load(t.Context(), "mnist", Options{})
	want := `datasets: no data set "mnist", want one of cifar10-mini, cifar10, cifar100`
	if err == nil || err.Error() != want {
		t.Errorf("Load: %v", err)
	}
	_, err = Download(t.Context(), "cifar10-mini", Options{})
	want = `datasets: no data set "cifar10-mini", want one of cifar10, cifar100`
	if err == nil || err.Error() != want {
		t.Errorf("Download: %v", err)
	}
}

// The mini set has the classes and the normalization of CIFAR-10.
func TestDescribe(t *testing.T) {
	mini, err1 := Describe("cifar10-mini")
	whole, err2 := Describe("cifar10")
	if err1 != nil || err2 != nil || mini.Train != 1000 || whole.Train != 50000 ||
		mini.Classes != 10 || !slices.Equal(mini.ClassNames, whole.ClassNames) ||
		mini.ClassNames[9] != "truck" || mini.Mean != whole.Mean || mini.Std[2] != 0.2616 {
		t.Errorf("%+v, %+v, %v, %v", mini, whole, err1, err2)
	}
}

// The table of official archives agrees with what is known about CIFAR.
func TestArchives(t *testing.T) {
	for _, a := range archives {
		var n [2]int
		for _, m := range a.train {
			n[0] += m.records
		}
		for _, m := range a.test {
			n[1] += m.records
		}
		if n != [2]int{50000, 10000} {
			t.Errorf("%s: %v images", a.name, n)
		}
		if want := map[string]int{"cifar10": 10, "cifar100": 100}[a.name]; len(a.classes) != want ||
			!slices.IsSorted(a.classes[:4]) {
			t.Errorf("%s: %d classes", a.name, len(a.classes))
		}
		if len(a.sha256) != 64 {
			t.Errorf("%s: sha256 has %d digits", a.name, len(a.sha256))
		}
	}
}

// The real data agree with the table of archives.
func TestFullCIFAR(t *testing.T) {
	dir := os.Getenv("MOMENTUM_CIFAR")
	if dir == "" {
		t.Skip("needs the full data: set MOMENTUM_CIFAR to a folder that holds " +
			"cifar-10-batches-bin and cifar-100-binary")
	}
	for _, a := range archives {
		t.Run(a.name, func(t *testing.T) {
			if _, err := os.Stat(filepath.Join(dir, a.folder)); err != nil {
				t.Skip("not in MOMENTUM_CIFAR: ", err)
			}
			train, test, err := Load(t.Context(), a.name, Options{Dir: dir, Offline: true})
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range []*Images{train, test} {
				count := make([]int, m.Classes)
				for _, label := range m.Labels {
					count[label]++
				}
				for label, n := range count {
					if n != m.N()/m.Classes {
						t.Errorf("class %d: %d of %d images, want %d", label, n, m.N(),
							m.N()/m.Classes)
					}
				}
			}
			if train.N() != 50000 || test.N() != 10000 {
				t.Errorf("%d and %d images", train.N(), test.N())
			}
			for c := range Channels {
				var sum, squares float64
				for i := c; i < len(train.Pixels); i += Channels {
					x := float64(train.Pixels[i]) / 255
					sum += x
					squares += x * x
				}
				n := float64(len(train.Pixels) / Channels)
				mean := sum / n
				std := math.Sqrt(squares/n - mean*mean)
				if math.Abs(mean-float64(train.Mean[c])) > 5.1e-5 ||
					math.Abs(std-float64(train.Std[c])) > 5.1e-5 {
					t.Errorf("channel %d: mean %.5f, std %.5f, want %.4f, %.4f", c, mean, std,
						train.Mean[c], train.Std[c])
				}
			}
		})
	}
}

func FuzzReadRecords(f *testing.F) {
	a := tiny(1)
	good := records(a, a.test[0])
	f.Add(good, 1)
	f.Add(good[:100], 2)
	f.Add(append([]byte{9}, good...), 2)
	f.Fuzz(func(t *testing.T, b []byte, labelBytes int) {
		if labelBytes < 1 || labelBytes > 2 {
			t.Skip("a record has one or two labels")
		}
		images := &Images{Classes: 10, Pixels: make([]uint8, 2*imageBytes),
			Labels: make([]uint8, 2)}
		err := readRecords(bytes.NewReader(b), labelBytes, images)
		whole := len(b) == 2*(labelBytes+imageBytes)
		if err == nil && !whole {
			t.Errorf("%d bytes are accepted as 2 records", len(b))
		}
		if err == nil && max(images.Labels[0], images.Labels[1]) > 9 {
			t.Errorf("labels %v", images.Labels)
		}
		if err != nil && whole && !strings.Contains(err.Error(), "label") {
			t.Errorf("the right length, and yet %v", err)
		}
	})
}

func FuzzParseSums(f *testing.F) {
	f.Add(strings.Repeat("0", 64) + "  a.bin\n")
	f.Add("")
	f.Add("abc  a.bin")
	f.Fuzz(func(t *testing.T, text string) {
		sums, err := parseSums(text)
		for name, sum := range sums {
			if len(sum) != 64 {
				t.Errorf("%q: sum %q", name, sum)
			}
		}
		if err != nil && strings.Contains(err.Error(), "\n") {
			t.Errorf("error of several lines: %q", err)
		}
	})
}
