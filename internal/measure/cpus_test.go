package measure

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"testing"
)

// The test executes itself as a child, which prints the number of CPUs that it may use.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "-child" {
		fmt.Println(runtime.NumCPU())
		return
	}
	os.Exit(m.Run())
}

// A child may use as many CPUs as were asked for, and a later one all of them again.
func TestOnCPUs(t *testing.T) {
	all := runtime.NumCPU()
	if all == 1 || runtime.GOOS != "linux" {
		t.Skipf("%d CPU(s) on %s: there is nothing to restrict", all, runtime.GOOS)
	}
	for _, n := range []int{1, all, all - 1, 1, all} {
		var got int
		err := OnCPUs(n, func() error {
			_, err := Self(t.Context(), t.Output(), nil, &got)
			return err
		})
		if err != nil || got != n {
			t.Errorf("a child may use %d CPUs, want %d (%v)", got, n, err)
		}
	}
	broken := errors.New("broken")
	if err := OnCPUs(1, func() error { return broken }); err != broken {
		t.Errorf("got %v, want the error of the function", err)
	}
	for _, n := range []int{0, all + 1} {
		want := fmt.Sprintf("%d CPUs, want 1 to %d", n, all)
		if err := OnCPUs(n, func() error { return nil }); err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}
