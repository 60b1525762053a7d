package cli

import (
	"fmt"
	"testing"
)

func TestLists(t *testing.T) {
	for _, c := range []struct{ value, want string }{
		{"8", "[8] <nil>"},
		{"16,8", "[16 8] <nil>"},
		{"8,0", `[8] "0" is not a whole number of at least 1`},
		{"8,", `[8] "" is not a whole number of at least 1`},
		{"8 ", `[] "8 " is not a whole number of at least 1`},
	} {
		list := []int{1, 2, 3} // a default, which is replaced
		err := Numbers(&list)(c.value)
		if got := fmt.Sprint(list, err); got != c.want {
			t.Errorf("numbers %q: %s, want %s", c.value, got, c.want)
		}
	}
	for _, c := range []struct{ value, want string }{
		{"auto,2", "[0 2] <nil>"},
		{"2,0", `[2] "0" is not a whole number of at least 1 or auto`},
	} {
		list := []int{1, 2, 3}
		err := NumbersOr(&list, "auto", 0)(c.value)
		if got := fmt.Sprint(list, err); got != c.want {
			t.Errorf("numbers or auto %q: %s, want %s", c.value, got, c.want)
		}
	}
	for _, c := range []struct{ value, want string }{
		{"0.1", "[0.1] <nil>"},
		{"1e-3,0,-2.5", "[0.001 0 -2.5] <nil>"},
		{"0.1,x", `[0.1] "x" is not a number`},
		{"0.1,", `[0.1] "" is not a number`},
		{"0.1 ", `[] "0.1 " is not a number`},
		{"NaN", `[] "NaN" is not a number`},
		{"1,-Inf", `[1] "-Inf" is not a number`},
		{"1e999", `[] "1e999" is not a number`},
	} {
		list := []float64{1, 2, 3}
		err := Floats(&list)(c.value)
		if got := fmt.Sprint(list, err); got != c.want {
			t.Errorf("floats %q: %s, want %s", c.value, got, c.want)
		}
	}
	for _, c := range []struct{ value, want string }{
		{"a", "[a] <nil>"},
		{"b,a", "[b a] <nil>"},
		{"a,c", `[a] "c" is not one of [a b]`},
		{"", `[] "" is not one of [a b]`},
	} {
		list := []string{"b"}
		err := Words(&list, "a", "b")(c.value)
		if got := fmt.Sprint(list, err); got != c.want {
			t.Errorf("words %q: %s, want %s", c.value, got, c.want)
		}
	}
}
