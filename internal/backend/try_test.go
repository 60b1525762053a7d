package backend

import (
	"errors"
	"fmt"
	"io/fs"
	"runtime"
	"strings"
	"testing"

	"github.com/gomlx/gomlx/core/graph"
)

func TestTry(t *testing.T) {
	if err := Try("place", func() {}); err != nil {
		t.Errorf("without panic: %v", err)
	}
	cause := &fs.PathError{Op: "open", Path: "x", Err: fs.ErrNotExist}
	var none []int
	for _, c := range []struct {
		f    func()
		want string
	}{
		{func() { panic("first\nsecond") }, "place: first"},
		{func() { panic(fmt.Errorf("reading: %w", cause)) },
			"place: reading: open x: file does not exist"},
		{func() { none[2] = 1 }, "place: runtime error: index out of range [2] with length 0"},
		{func() { panic(nil) }, "place: panic called with nil argument"},
	} {
		err := Try("place", c.f)
		if err == nil || err.Error() != c.want {
			t.Errorf("got %v, want %s", err, c.want)
		}
		if !strings.Contains(fmt.Sprintf("%+v", err), "backend.TestTry") {
			t.Errorf("no stack in %+v", err)
		}
	}
	err := Try("place", func() { panic("first\nsecond") })
	if !strings.HasPrefix(fmt.Sprintf("%+v", err), "place: first\nsecond\n\n") {
		t.Errorf("not whole: %+v", err)
	}
	if err := Try("place", func() { panic(cause) }); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v does not wrap its cause", err)
	}
	if err := Try("place", func() { none[2] = 1 }); !errors.As(err, new(runtime.Error)) {
		t.Errorf("%v does not wrap its cause", err)
	}
}

func TestTryGraph(t *testing.T) {
	b, err := Open(t.Context(), "go", Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	var axes []int
	for _, c := range []struct {
		f    func(x *graph.Node) *graph.Node
		want string
	}{
		{func(x *graph.Node) *graph.Node { return graph.Reshape(x, 4) }, "net: total requested " +
			"size 4 (dimensions=[4]) doesnt match original size 3 (dimensions [3])"},
		{func(x *graph.Node) *graph.Node { return graph.ReduceSum(x, axes[0]) },
			"net: runtime error: index out of range [0] with length 0"},
	} {
		err := Try("net", func() {
			graph.MustNewExec(b.Backend, c.f).MustCall1([]float32{1, 2, 3})
		})
		if err == nil || err.Error() != c.want {
			t.Errorf("got %v, want %s", err, c.want)
		}
		if !strings.Contains(fmt.Sprintf("%+v", err), "try_test.go:") {
			t.Errorf("no stack in %+v", err)
		}
	}
}
