package workflow

// Throttle lets so many runs of a recipient pass within a window, and ends the others.
type Throttle struct {
	Window
	Limit int    `json:"limit,omitempty"` // default 1
	Key   string `json:"key,omitempty"`   // a path or a template: one throttle for each value
}

// MaxThrottleLimit is how many runs a throttle may let pass.
const MaxThrottleLimit = 10_000

// ThrottleSpec is a compiled Throttle.
type ThrottleSpec struct {
	Span  *Span
	Limit int
	Key   *Key // nil: none
}

func (c *compiler) throttle(path string, s *Step) {
	t, path := s.Throttle, path+".throttle"
	spec := &ThrottleSpec{Span: c.window(path, &t.Window, MaxThrottleWindow), Limit: t.Limit, Key: c.key(path+".key", t.Key)}
	if spec.Limit == 0 {
		spec.Limit = 1
	}
	if t.Limit < 0 || t.Limit > MaxThrottleLimit {
		c.problemf(path+".limit", "must be between 1 and %d", MaxThrottleLimit)
	}
	c.emit(Op{Kind: OpThrottle, Step: s.Ref, Throttle: spec})
}
