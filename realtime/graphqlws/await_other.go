//go:build !unix

package graphqlws

// await reads what comes. Sockets can't be waited for without reading here.
func (c *conn) await() {
	c.raw = nil
	c.read()
}
