package graphqlws

// CloseAll closes all connections with a code.
func (t *Transport) CloseAll(code int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for c := range t.conns {
		c.shut(code, "a test")
	}
}
