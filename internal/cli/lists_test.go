package cli

import (
	"fmt"
	"testing"
)

func TestLists(t *testing.T) {
	for _, c := range []struct{ value, want string }{
		{"8", "[8] <nil>"},
		{"16,8", "[16 8] <nil>"},
		{"8,0", `[8] "0" is no whole number of at least 1`},
		{"8,", `[8] "" is no whole number of at least 1`},
		{"8 ", `[] "8 " is no whole number of at least 1`},
	} {
		list := []int{1, 2, 3} // a default, which goes
		err := Numbers(&list)(c.value)
		if got := fmt.Sprint(list, err); got != c.want {
			t.Errorf("numbers %q: %s, want %s", c.value, got, c.want)
		}
	}
	for _, c := range []struct{ value, want string }{
		{"a", "[a] <nil>"},
		{"b,a", "[b a] <nil>"},
		{"a,c", `[a] "c" is none of [a b]`},
		{"", `[] "" is none of [a b]`},
	} {
		list := []string{"b"}
		err := Words(&list, "a", "b")(c.value)
		if got := fmt.Sprint(list, err); got != c.want {
			t.Errorf("words %q: %s, want %s", c.value, got, c.want)
		}
	}
}
