package descent

// A tree adds values in a fixed order: those of neighbours first, then the sums of neighbouring
// pairs, and so on. Any device can add a sequence of values as far as that order allows, and what
// it could not add goes on in the tree of all. So the result is the same to the last bit for any
// number of devices.
type tree[T any] struct {
	add   func(left, right T) T
	nodes []node[T] // from left to right; no two of them are the halves of one node
}

// node is the sum of the 2^level values from index·2^level on.
type node[T any] struct {
	level, index int
	value        T
}

// push adds a node to the right of all others.
func (t *tree[T]) push(n node[T]) {
	for n.index%2 == 1 && len(t.nodes) > 0 {
		last := len(t.nodes) - 1
		left := t.nodes[last]
		if left.level != n.level || left.index != n.index-1 {
			break
		}
		t.nodes = t.nodes[:last]
		n = node[T]{n.level + 1, n.index / 2, t.add(left.value, n.value)}
	}
	t.nodes = append(t.nodes, n)
}
