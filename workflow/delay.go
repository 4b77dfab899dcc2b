package workflow

// Delay lets a run wait.
type Delay struct {
	Window
}

func (c *compiler) delay(path string, s *Step) {
	c.emit(Op{Kind: OpDelay, Step: s.Ref, Span: c.window(path+".delay", &s.Delay.Window, MaxWindow)})
}
