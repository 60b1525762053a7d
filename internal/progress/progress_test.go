package progress

import (
	"bytes"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

const mb = 1_000_000

// Ten seconds at 1 MB/s: lines at the start, after 5 s and 10 s, and at the end.
func TestBytesInPipe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		b := Bytes(&out, "file", 20*mb)
		b.Set(0)
		for range 11 {
			time.Sleep(time.Second)
			b.Add(mb)
		}
		b.Println("file: connection lost")
		b.Close()
		b.Close()
		want := `file: 20.0 MB
file: 5.0 MB of 20.0 MB (25%), 1.0 MB/s, 15s left
file: 10.0 MB of 20.0 MB (50%), 1.0 MB/s, 10s left
file: connection lost
file: 11.0 MB of 20.0 MB in 11s, 1.0 MB/s
`
		if d := cmp.Diff(want, out.String()); d != "" {
			t.Error(d)
		}
	})
}

// In a resumed transfer the part that was there does not count towards the rate.
func TestResumed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		b := Bytes(&out, "file", 100*mb)
		b.Set(90 * mb)
		time.Sleep(5 * time.Second)
		b.Set(95 * mb)
		time.Sleep(5 * time.Second)
		b.Set(100 * mb)
		b.Close()
		want := `file: 100.0 MB
file: 95.0 MB of 100.0 MB (95%), 1.0 MB/s, 5s left
file: 100.0 MB (100%), 1.0 MB/s
file: 100.0 MB in 10s, 1.0 MB/s
`
		if d := cmp.Diff(want, out.String()); d != "" {
			t.Error(d)
		}
	})
}

// The rate follows the last half minute: 60 s at 1 MB/s, then 40 s at 2 MB/s.
func TestRateOfLastHalfMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := Bytes(nil, "file", 1000*mb)
		b.Set(0)
		for i := range 100 {
			time.Sleep(time.Second)
			if i < 60 {
				b.Add(mb)
			} else {
				b.Add(2 * mb)
			}
		}
		if got := b.rate(); got < 1.99*mb || got > 2.01*mb {
			t.Errorf("rate %g, want 2e6", got)
		}
		b.Set(0) // the server starts over
		if got := b.rate(); got != 0 {
			t.Errorf("rate %g after starting over, want 0", got)
		}
	})
}

func TestStepsInPipe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		b := Steps(&out, "train", 300)
		for i := range 300 {
			time.Sleep(time.Second)
			b.Set(int64(i + 1))
			b.Describe("loss 0.1")
		}
		b.Println("epoch 300 loss 0.1")
		b.Close()
		if got := out.String(); got != "epoch 300 loss 0.1\n" {
			t.Errorf("got %q", got)
		}
	})
}

func TestUnknownTotal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		b := Bytes(&out, "file", 0)
		b.Set(0)
		time.Sleep(6 * time.Second)
		b.Add(6 * mb)
		b.Close()
		want := "file\nfile: 6.0 MB, 1.0 MB/s\nfile: 6.0 MB in 6s, 1.0 MB/s\n"
		if d := cmp.Diff(want, out.String()); d != "" {
			t.Error(d)
		}
	})
}

// The bar for a terminal is drawn into a buffer.
func TestDrawing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		b := Steps(&out, "train", 4)
		b.bar = newBar(&out, 4)
		for i := range 4 {
			time.Sleep(time.Second)
			b.Describe("loss 0.5")
			b.Set(int64(i + 1))
			if i == 1 {
				b.Println("a row")
			}
		}
		b.Println("after the end")
		b.Close()
		got := out.String()
		for _, want := range []string{" 50% |", "train 2/4, 2s left, loss 0.5", "\ra row\n",
			"100% |", "train 4/4"} {
			if !strings.Contains(got, want) {
				t.Errorf("no %q in %q", want, got)
			}
		}
		if !strings.HasSuffix(got, "\nafter the end\n") {
			t.Errorf("ends in %q", got[len(got)-40:])
		}
		if strings.Contains(got, "\x1b") {
			t.Errorf("escape code in %q", got)
		}
	})
}

// Two long steps of which a half, and then one and three quarters, are done.
func TestThousandths(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		b := Thousandths(&out, "runs", 2)
		b.bar = newBar(&out, 2000)
		b.Set(0)
		time.Sleep(20 * time.Second)
		b.Set(500)
		time.Sleep(50 * time.Second)
		b.Set(1750)
		time.Sleep(10 * time.Second)
		b.Set(2000)
		b.Close()
		got := out.String()
		for _, want := range []string{" 25% |", "runs 0.5/2, 1m00s left", " 87% |",
			"runs 1.7/2, 10s left", "100% |", "runs 2/2"} {
			if !strings.Contains(got, want) {
				t.Errorf("no %q in %q", want, got)
			}
		}
	})
}

// On a narrow terminal the loss stays, in whole parts; the count goes first. An accuracy goes
// together with its epoch.
func TestNarrow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := Steps(&bytes.Buffer{}, "images", 12000)
		time.Sleep(time.Second)
		b.Set(0)
		time.Sleep(time.Second)
		b.Set(6000)
		b.Describe("epoch 150/300  loss 0.1234  train 97.66%  test 25.00% (epoch 144)")
		for columns, want := range map[int]string{
			96: "images 6000/12000, 1s left, epoch 150/300  loss 0.1234  train 97.66%  " +
				"test 25.00% (epoch 144)",
			76: "1s left, epoch 150/300  loss 0.1234  train 97.66%  test 25.00% (epoch 144)",
			66: "epoch 150/300  loss 0.1234  train 97.66%  test 25.00% (epoch 144)", // 80 columns
			46: "epoch 150/300  loss 0.1234  train 97.66%",                          // 60 columns
			26: "epoch 150/300  loss 0.1234",                                        // 40 columns
			8:  "epoch 1…",
		} {
			if got := b.line(columns); got != want {
				t.Errorf("%d columns: %q, want %q", columns, got, want)
			}
		}
	})
}

func TestTerminal(t *testing.T) {
	f, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if Terminal(f) || Terminal(&bytes.Buffer{}) || Terminal(nil) {
		t.Error("a file, a buffer or nil counts as a terminal")
	}
}

func TestFormats(t *testing.T) {
	for n, want := range map[int64]string{999: "999 B", 1500: "1.5 kB", 170_052_171: "170.1 MB",
		2_500_000_000: "2.50 GB"} {
		if got := size(n); got != want {
			t.Errorf("size(%d) = %q, want %q", n, got, want)
		}
	}
	for d, want := range map[time.Duration]string{
		59 * time.Second: "59s", 80 * time.Second: "1m20s", 125 * time.Minute: "2h05m",
	} {
		if got := duration(d); got != want {
			t.Errorf("duration(%v) = %q, want %q", d, got, want)
		}
	}
	if got := cut("abcdef", 4); got != "abc…" {
		t.Errorf("cut = %q", got)
	}
}
