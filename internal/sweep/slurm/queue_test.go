package slurm

import (
	"slices"
	"strings"
	"testing"
)

func TestRanges(t *testing.T) {
	for _, tt := range []struct {
		numbers []int
		want    string
	}{
		{nil, ""},
		{[]int{7}, "7"},
		{[]int{0, 1, 2}, "0-2"},
		{[]int{9, 0, 3, 4, 5, 8}, "0,3-5,8-9"},
	} {
		if got := ranges(tt.numbers); got != tt.want {
			t.Errorf("%v: %q, want %q", tt.numbers, got, tt.want)
		}
	}
}

func TestParseQueue(t *testing.T) {
	got, err := parseQueue(
		"12 3 RUNNING None\n\n12 4 PENDING launch failed requeued held\n12 5 COMPLETING\n")
	want := []task{{"12", 3, "RUNNING", "None"},
		{"12", 4, "PENDING", "launch failed requeued held"}, {"12", 5, "COMPLETING", ""}}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%v, %v; want %v", got, err, want)
	}
	for _, text := range []string{"12", "12 RUNNING", "12 N/A RUNNING None", "12 -1 RUNNING None",
		"slurm_load_jobs error: no"} {
		if got, err := parseQueue(text); err == nil {
			t.Errorf("%q: %v, want an error", text, got)
		}
	}
}

func FuzzParseQueue(f *testing.F) {
	f.Add("12 3 RUNNING None\n12 4 PENDING launch failed requeued held\n")
	f.Add("12 N/A PENDING Resources")
	f.Fuzz(func(t *testing.T, text string) {
		tasks, err := parseQueue(text)
		if err != nil && tasks != nil {
			t.Errorf("%v beside %v", tasks, err)
		}
		for _, task := range tasks {
			if task.index < 0 || task.array == "" || task.state == "" ||
				strings.ContainsAny(task.array+task.state, " \n") {
				t.Errorf("%q: %+v", text, task)
			}
		}
	})
}
