package cli

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Words is a flag, for [flag.FlagSet.Func], whose value is a list of the allowed words with commas
// between them.
func Words[T ~string](list *[]T, allowed ...T) func(string) error {
	return func(value string) error {
		*list = nil
		for word := range strings.SplitSeq(value, ",") {
			if !slices.Contains(allowed, T(word)) {
				return fmt.Errorf("%q is none of %v", word, allowed)
			}
			*list = append(*list, T(word))
		}
		return nil
	}
}

// Numbers is a flag, for [flag.FlagSet.Func], whose value is a list of whole numbers of at least 1
// with commas between them.
func Numbers(list *[]int) func(string) error {
	return func(value string) error {
		*list = nil
		for word := range strings.SplitSeq(value, ",") {
			n, err := strconv.Atoi(word)
			if err != nil || n < 1 {
				return fmt.Errorf("%q is no whole number of at least 1", word)
			}
			*list = append(*list, n)
		}
		return nil
	}
}
