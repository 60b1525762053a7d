package models

// FLOPs returns the floating-point operations of one image's forward pass, and of its forward and
// backward passes together. It counts 2 for each multiply-add of the convolutions and the head, and
// nothing else. The backward pass costs twice the forward pass, except in the stem, whose input
// needs no gradient. As is usual, padding counts as if it were computed.
func (n *Network) FLOPs() (forward, step float64) {
	for _, c := range n.convs() {
		f := 2 * float64(c.size*c.size) * float64(c.k*c.k) * float64(c.in) * float64(c.out)
		forward += f
		step += 3 * f
		if c.name == n.stem.name {
			step -= f
		}
	}
	f := 2 * float64(n.head.in) * float64(n.head.out)
	return forward + f, step + 3*f
}

// ActivationValues is the number of convolution outputs of one image, a scale for the memory of the
// backward pass.
func (n *Network) ActivationValues() int {
	total := 0
	for _, c := range n.convs() {
		total += c.size * c.size * c.out
	}
	return total
}

// convs returns all convolutions, in the order of the forward pass.
func (n *Network) convs() []conv {
	all := []conv{n.stem}
	for _, b := range n.blocks {
		all = append(all, b.convs...)
		if b.shortcut != nil {
			all = append(all, *b.shortcut)
		}
	}
	return all
}
