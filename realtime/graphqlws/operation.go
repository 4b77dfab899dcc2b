package graphqlws

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"github.com/belfryhq/belfry/internal/pull"
)

// CodeTooManyOperations is the extensions.code of an operation refused because of Config.MaxOperations.
const CodeTooManyOperations = "TOO_MANY_OPERATIONS"

// operation is a query, a mutation or a subscription. It belongs to the client's view of the connection while it is in
// conn.operations, and to ours, as one that is running, until done.
//
// It has a goroutine while there is something to do. A subscription whose source can be pulled, see [pull.Channel], has
// none in between: the source's wake starts one, which takes from it what there is, once. Nor has it an execution as long as its
// events are JSON already.
type operation struct {
	conn *conn
	id   string
	next []byte // the beginning of every next message

	ctx     context.Context
	endless bool // a subscription; guarded by conn.mu
	cancel  context.CancelFunc
	stage   atomic.Int32

	// The following are the goroutine's.
	request   request
	execution *execution
	recovered graphql.RecoverFunc // makes an error of a panic; nil before the first execution
	source    pull.Pulled         // nil: the execution waits by itself
	head      []byte              // the beginning of a next message with an event that is JSON
}

// request is what the client asks for.
type request struct {
	Query, OperationName  string
	Variables, Extensions json.RawMessage
}

// execution is what gqlgen has made of a request.
type execution struct {
	opCtx     *graphql.OperationContext
	responses graphql.ResponseHandler
	ctx       context.Context // of the responses
}

// Stages of an operation. After its end it stays in the last one.
const (
	working int32 = iota // on a goroutine
	again                // on a goroutine, which looks again before it rests
	resting
)

var _ pull.Consumer = (*operation)(nil)

// subscribe begins an operation. The reader calls it.
func (c *conn) subscribe(m message) {
	quoted, _ := json.Marshal(m.id) // a string
	o := &operation{conn: c, id: m.id, next: fmt.Appendf(nil, `{"id":%s,"type":"next","payload":`, quoted)}
	limit := c.transport.config.MaxOperations
	c.mu.Lock()
	duplicate := c.operation(m.id) != nil
	switch {
	case c.phase >= leaving: // the client asks again on its next connection
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
		o.ctx, o.cancel = context.WithCancel(c.ctx)
		c.operations = append(c.operations, o)
		c.running++
		c.finite++
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
	o := c.operation(id)
	c.strike(o)
	c.mu.Unlock()
	if o != nil {
		o.cancel()
		o.Wake() // to be done
	}
}

// run begins the operation, and works on it.
func (o *operation) run(payload []byte) {
	growStack(0)
	if o.begin(payload) {
		o.work()
	} else {
		o.done()
	}
}

// begin reports whether there are responses to come.
func (o *operation) begin(payload []byte) (ok bool) {
	defer o.recoverPanic(&ok)
	if json.Unmarshal(payload, &o.request) != nil || o.request.Query == "" {
		o.conn.shut(CloseInvalidMessage, "Invalid message: subscribe needs a payload with a query, a string, and optionally operationName, "+
			"a string, and variables and extensions, objects")
		return false
	}
	return o.execute()
}

// execute has gqlgen begin with the request, or with it again: then its resolver goes on with the source that there is.
func (o *operation) execute() (ok bool) {
	start := graphql.Now()
	params := &graphql.RawParams{Query: o.request.Query, OperationName: o.request.OperationName}
	if decodeObject(o.request.Variables, &params.Variables) != nil || decodeObject(o.request.Extensions, &params.Extensions) != nil {
		o.conn.shut(CloseInvalidMessage, "Invalid message: variables and extensions must be objects")
		return false
	}
	params.ReadTime = graphql.TraceTiming{Start: start, End: graphql.Now()}
	exec := o.conn.exec
	ctx := graphql.StartOperationTrace(o.ctx)
	opCtx, errs := exec.CreateOperationContext(ctx, params)
	o.execution, o.recovered = &execution{opCtx: opCtx}, opCtx.RecoverFunc
	ctx = graphql.WithOperationContext(ctx, opCtx)
	if errs != nil {
		o.fail(exec.DispatchError(ctx, errs).Errors)
		return false
	}
	if opCtx.Operation.Operation == ast.Subscription {
		if !o.endless && !o.isSubscription() {
			return false
		}
		ctx = pull.With(ctx, o, o.ctx)
	}
	o.execution.responses, o.execution.ctx = exec.DispatchOperation(ctx, opCtx)
	return true
}

// decodeObject decodes an object, or nothing, with its numbers as they are written.
func decodeObject(data json.RawMessage, into *map[string]any) error {
	if data == nil {
		return nil
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	return d.Decode(into)
}

// isSubscription notes that the operation isn't one to wait for, and reports whether it may go on.
func (o *operation) isSubscription() bool {
	c := o.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	o.endless = true
	c.finite--
	if c.phase < leaving {
		return true
	}
	c.forget(o)
	c.goIfDone()
	return false
}

// resume works on a goroutine that has just begun.
func (o *operation) resume() {
	growStack(0)
	o.work()
}

// growStack makes room on the stack of a goroutine that has just begun, while there is nothing on it: to grow it later, step
// by step and from below many calls, costs as much as encoding a response. n is less than the room; the compiler mustn't know it.
//
//go:noinline
func growStack(n int) byte {
	var room [6 << 10]byte
	return room[n]
}

// work sends responses until there are no more, or none at present.
func (o *operation) work() {
	for o.respond() {
		if o.stage.CompareAndSwap(working, resting) {
			return
		}
		o.stage.Store(working)
	}
	o.done()
}

// respond sends the responses that there are, and reports whether there may be more later.
func (o *operation) respond() (more bool) {
	defer o.conn.flushNow()
	defer o.recoverPanic(&more)
	for o.ctx.Err() == nil {
		if o.source != nil {
			event, what := o.source.Fill()
			switch {
			case what == pull.Nothing:
				return true
			case what == pull.End:
				o.complete()
				return false
			case event != nil:
				o.rest()
				if !o.conn.enqueue(o, false, o.head, event, []byte(`}}}`)) {
					return false
				}
				continue
			}
		}
		if o.execution == nil && !o.execute() {
			return false
		}
		response := o.execution.responses(o.execution.ctx)
		if response == nil {
			o.complete()
			return false
		}
		if !o.tell(response) {
			return false
		}
		if o.source == nil { // the next one may take a while
			o.conn.flushNow()
		}
	}
	return false
}

// rest lets go of the execution: what the source tells is JSON. One that is made again, for an event that isn't, is kept: to
// make it costs more than to have it, and others decide what there is to tell.
func (o *operation) rest() {
	if o.head != nil {
		return
	}
	opCtx := o.execution.opCtx
	o.execution = nil
	o.head = fmt.Appendf(nil, `%s{"data":{"%s":`, o.next, pull.ResponseKey(opCtx))
	// The document is shared by all who have sent the same text, and so may its text be.
	if at := opCtx.Operation.Position; at != nil && at.Src != nil && at.Src.Input == o.request.Query {
		o.request.Query = at.Src.Input
	}
}

// Follow implements pull.Consumer.
func (o *operation) Follow(source pull.Pulled) { o.source = source }

// Following implements pull.Consumer.
func (o *operation) Following() pull.Pulled { return o.source }

// Wake implements pull.Consumer.
func (o *operation) Wake() {
	for {
		switch o.stage.Load() {
		case again:
			return
		case working:
			if o.stage.CompareAndSwap(working, again) {
				return
			}
		case resting:
			if o.stage.CompareAndSwap(resting, working) {
				go o.resume()
				return
			}
		}
	}
}

// tell sends a response, and reports whether more are wanted.
func (o *operation) tell(response *graphql.Response) bool {
	if len(response.Errors) == 0 && len(response.Extensions) == 0 && response.Data != nil && response.HasNext == nil {
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
	o.conn.enqueue(o, true, o.begun(), []byte(`"complete"}`))
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
	return [][]byte{o.begun(), []byte(`"error","payload":`), errs, []byte(`}`)}
}

// begun is the beginning of any message, up to the type's value.
func (o *operation) begun() []byte { return bytes.TrimSuffix(o.next, []byte(`"next","payload":`)) }

// recoverPanic is to be deferred. It tells the client no more of a panic than the server's recover function makes of it,
// and sets ok to false.
func (o *operation) recoverPanic(ok *bool) {
	p := recover()
	if p == nil {
		return
	}
	*ok = false
	defer func() {
		if again := recover(); again != nil {
			o.conn.shut(CloseTryAgainLater, "Try again later")
			o.conn.transport.config.Panicked(again)
		}
	}()
	if o.recovered == nil {
		panic(p)
	}
	err := o.recovered(o.ctx, p)
	presented, isGraphQL := errors.AsType[*gqlerror.Error](err)
	if !isGraphQL {
		presented = gqlerror.Wrap(err)
	}
	o.fail(gqlerror.List{presented})
}

// done is the end of the operation, told or not.
func (o *operation) done() {
	o.cancel()
	if o.source != nil {
		o.source.Close()
	}
	c := o.conn
	c.mu.Lock()
	c.strike(o)
	c.running--
	if !o.endless {
		c.finite--
		c.goIfDone()
	}
	c.mu.Unlock()
	c.transport.operations.Add(-1)
}
