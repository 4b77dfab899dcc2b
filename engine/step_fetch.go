package engine

import (
	"strconv"

	"github.com/belfryhq/belfry/workflow"
)

// response is what came of a request, as signals carry it.
type response struct {
	Status int    `json:"status,omitempty"`
	Body   string `json:"body,omitempty"`
	Error  string `json:"error,omitempty"` // why there is no usable response
	Reason string `json:"reason,omitempty"`

	interrupted bool // this node shuts down: it says nothing
}

// fetchStep has a request made, and merges its response into the run's data.
func (c *course) fetchStep(op *workflow.Op) flow {
	w := c.woken()
	if w == nil {
		request, err := op.Fetch.Request.Render(c.ctx, c.scope)
		if err != nil {
			return c.failed(op.Step, err)
		}
		c.fetch = request
		c.size += len(request.Body)
		return c.waiting(&wait{kind: waitFetch}, LogEntry{Step: op.Step, Detail: request.Method + " " + withoutQuery(request.URL)})
	}
	r := w.response()
	if r == nil {
		return c.stayWaiting(&wait{kind: waitFetch})
	}
	if r.Error != "" {
		return c.fail(op.Step, "fetch_failed", r.Error)
	}
	data, err := op.Fetch.Merge(c.data(), []byte(r.Body))
	if err != nil {
		return c.fail(op.Step, "fetch_failed", err.Error())
	}
	return c.mergeData(op.Step, data, LogEntry{Step: op.Step, Outcome: OutcomeFetched, Detail: strconv.Itoa(r.Status)})
}

// stayWaiting goes on waiting: what woke the run was nothing.
func (c *course) stayWaiting(w *wait) flow {
	c.status, c.wait = Waiting, w
	return stopped
}

// withoutQuery is a URL as logs may show it: parameters can hold secrets.
func withoutQuery(url string) string {
	for i, b := range []byte(url) {
		if b == '?' || b == '#' {
			return url[:i]
		}
	}
	return url
}
