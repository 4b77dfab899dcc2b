package graphqlws

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/gqlerror"
)

// CodeTooManyOperations is the extensions.code of an operation refused because of Config.MaxOperations.
const CodeTooManyOperations = "TOO_MANY_OPERATIONS"

// operation is a query, a mutation or a subscription. It belongs to the client's view of the connection while it is in
// conn.operations, and to ours, as one that is running, until done.
type operation struct {
	conn *conn
	id   string
	next []byte // the beginning of every next message

	ctx    context.Context
	cancel context.CancelFunc
}

// subscribe begins an operation. The reader calls it.
func (c *conn) subscribe(m message) {
	quoted, _ := json.Marshal(m.id) // a string
	o := &operation{conn: c, id: m.id, next: fmt.Appendf(nil, `{"id":%s,"type":"next","payload":`, quoted)}
	limit := c.transport.config.MaxOperations
	c.mu.Lock()
	_, duplicate := c.operations[m.id]
	switch {
	case c.phase != acknowledged:
		c.shutLocked(CloseUnauthorized, "Unauthorized: wait for connection_ack first")
	case m.id == "" || len(m.id) > MaxIDLength:
		c.shutLocked(CloseInvalidMessage, fmt.Sprintf("Invalid message: subscribe needs an id of 1 to %d bytes", MaxIDLength))
	case duplicate:
		c.shutLocked(CloseDuplicateOperation, fmt.Sprintf("Subscriber for %.40s already exists", m.id))
	// Those that the client has completed may run on for a moment: not a reason to refuse others, unless they pile up.
	case len(c.operations) >= limit || c.running >= 2*limit:
		err, _ := json.Marshal(gqlerror.List{{ // plain values
			Message:    fmt.Sprintf("This connection has %d operations running, which is the limit: complete one, or open another connection.", limit),
			Extensions: map[string]any{"code": CodeTooManyOperations},
		}})
		c.mu.Unlock()
		c.replyText(o.errorMessage(err)...)
		return
	default:
		if c.operations == nil {
			c.operations = make(map[string]*operation)
		}
		o.ctx, o.cancel = context.WithCancel(c.ctx)
		c.operations[m.id] = o
		c.running++
		c.mu.Unlock()
		c.transport.operations.Add(1)
		go o.run(m.payload)
		return
	}
	flush := c.startFlush()
	c.mu.Unlock()
	if flush {
		go c.flush()
	}
}

// complete ends an operation at the client's wish. Nothing is sent for it any more.
func (c *conn) complete(id string) {
	c.mu.Lock()
	o := c.operations[id]
	delete(c.operations, id)
	c.mu.Unlock()
	if o != nil {
		o.cancel()
	}
}

// run executes the operation.
func (o *operation) run(payload []byte) {
	defer o.done()
	var opCtx *graphql.OperationContext
	defer func() {
		if p := recover(); p != nil {
			o.panicked(opCtx, p)
		}
	}()
	start := graphql.Now()
	params, err := decodeParams(payload)
	if err != nil {
		o.conn.shut(CloseInvalidMessage, "Invalid message: "+err.Error())
		return
	}
	params.ReadTime = graphql.TraceTiming{Start: start, End: graphql.Now()}
	exec := o.conn.exec
	ctx := graphql.StartOperationTrace(o.ctx)
	opCtx, errs := exec.CreateOperationContext(ctx, params)
	ctx = graphql.WithOperationContext(ctx, opCtx)
	if errs != nil {
		o.fail(exec.DispatchError(ctx, errs).Errors)
		return
	}
	responses, ctx := exec.DispatchOperation(ctx, opCtx)
	for {
		response := responses(ctx)
		if response == nil {
			break
		}
		if !o.tell(response) {
			return
		}
		o.conn.flushNow()
	}
	o.complete()
}

// decodeParams decodes the payload of subscribe.
func decodeParams(payload []byte) (*graphql.RawParams, error) {
	params := &graphql.RawParams{}
	d := json.NewDecoder(bytes.NewReader(payload))
	d.UseNumber()
	if err := d.Decode(params); err != nil || params.Query == "" {
		return nil, errors.New("subscribe needs a payload with a query, a string, and optionally operationName, a string, and variables and extensions, objects")
	}
	return params, nil
}

// tell sends a response, and reports whether more are wanted.
func (o *operation) tell(response *graphql.Response) bool {
	if len(response.Errors) == 0 && response.Extensions == nil && response.Data != nil {
		// Its data is JSON already; encoding/json would read it twice more.
		return o.conn.enqueue(o, false, o.next, []byte(`{"data":`), response.Data, []byte(`}}`))
	}
	payload, err := json.Marshal(response)
	if err != nil {
		panic(err) // an extension that isn't JSON
	}
	return o.conn.enqueue(o, false, o.next, payload, []byte(`}`))
}

// complete tells the client that there is no more.
func (o *operation) complete() {
	if o.conn.enqueue(o, true, o.head(), []byte(`"complete"}`)) {
		o.conn.flushNow()
	}
}

// fail tells the client that the operation can't be executed.
func (o *operation) fail(errs gqlerror.List) {
	payload, err := json.Marshal(errs)
	if err != nil {
		panic(err) // an extension that isn't JSON
	}
	if o.conn.enqueue(o, true, o.errorMessage(payload)...) {
		o.conn.flushNow()
	}
}

func (o *operation) errorMessage(errs []byte) [][]byte {
	return [][]byte{o.head(), []byte(`"error","payload":`), errs, []byte(`}`)}
}

// head is the beginning of any message, up to the type's value.
func (o *operation) head() []byte { return bytes.TrimSuffix(o.next, []byte(`"next","payload":`)) }

// panicked tells the client no more than the server's own recover function makes of it.
func (o *operation) panicked(opCtx *graphql.OperationContext, p any) {
	defer func() {
		if again := recover(); again != nil {
			o.conn.shut(CloseTryAgainLater, "Try again later")
			o.conn.transport.config.Panicked(again)
		}
	}()
	if opCtx == nil {
		panic(p)
	}
	err := opCtx.Recover(o.ctx, p)
	presented, ok := errors.AsType[*gqlerror.Error](err)
	if !ok {
		presented = gqlerror.Wrap(err)
	}
	o.fail(gqlerror.List{presented})
}

// done is the end of the operation, told or not.
func (o *operation) done() {
	o.cancel()
	c := o.conn
	c.mu.Lock()
	if c.operations[o.id] == o {
		delete(c.operations, o.id)
	}
	c.running--
	c.mu.Unlock()
	c.transport.operations.Add(-1)
}
