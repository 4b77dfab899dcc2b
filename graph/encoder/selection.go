package encoder

import (
	"crypto/sha256"
	"fmt"
	"strings"
	"weak"

	"github.com/99designs/gqlgen/graphql"
	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/vektah/gqlparser/v2/ast"

	"github.com/belfryhq/belfry/graph/model"
)

// Selection is what a subscription has selected of feed events, compiled. It is immutable.
type Selection struct {
	// Those that can't be encoded are nil. FeedMarkedWhere is left to gqlgen: it is rare.
	upserted  value[upserted]
	patched   value[model.FeedItemsPatched]
	removed   value[model.FeedItemsRemoved]
	markedAll value[model.FeedMarkedAll]
	synced    value[model.FeedSynced]
	reset     value[model.FeedReset]
	personal  bool
}

// What a Compiler keeps. Strangers choose their selections, and may well push out everybody else's: whoever subscribes
// next has theirs compiled again, and doesn't share it with those who had it before. That costs time, but nothing else.
const (
	// MaxSelections is how many different selections are kept. There are as many as clients have releases.
	MaxSelections = 1000
	// MaxSignature is how many bytes the signature of a kept selection has: the keys and names of its fields, for each
	// type of event that has them. All fields of all types have 2 KiB. Larger selections are compiled for each who subscribes.
	MaxSignature = 4 << 10
)

// Compiler compiles selections, the same ones once. It is safe for concurrent use.
type Compiler struct {
	selections *lru.Cache[[sha256.Size]byte, *Selection] // by the hash of their signature
	// operations are those of documents without directives, so that variables have no say in what they select. The server
	// keeps the documents, not this.
	operations *lru.Cache[weak.Pointer[ast.OperationDefinition], *Selection]
}

// NewCompiler returns a Compiler.
func NewCompiler() *Compiler {
	selections, err := lru.New[[sha256.Size]byte, *Selection](MaxSelections)
	if err != nil {
		panic(err) // of a size that isn't positive
	}
	operations, err := lru.New[weak.Pointer[ast.OperationDefinition], *Selection](MaxSelections)
	if err != nil {
		panic(err)
	}
	return &Compiler{selections, operations}
}

// Compile compiles what a validated subscription, with its variables, selects of feed events. How large the selection is,
// fragments expanded, and how long its aliases, is for the caller to limit.
func (c *Compiler) Compile(op *graphql.OperationContext, selected ast.SelectionSet) *Selection {
	if strings.Contains(op.RawQuery, "@") {
		s, _ := c.compile(op, selected)
		return s
	}
	key := weak.Make(op.Operation)
	if s, ok := c.operations.Get(key); ok {
		return s
	}
	s, shared := c.compile(op, selected)
	if shared {
		c.operations.Add(key, s)
	}
	return s
}

// compile reports whether those who select the same share the selection.
func (c *Compiler) compile(op *graphql.OperationContext, selected ast.SelectionSet) (s *Selection, shared bool) {
	with := compiler{op: &graphql.OperationContext{Doc: op.Doc, Variables: op.Variables}}
	s = &Selection{
		upserted:  compileKind(&with, &itemUpserted, selected),
		patched:   compileKind(&with, &itemsPatched, selected),
		removed:   compileKind(&with, &itemsRemoved, selected),
		markedAll: compileKind(&with, &markedAll, selected),
		synced:    compileKind(&with, &synced, selected),
		reset:     compileKind(&with, &reset, selected),
		personal:  with.personal,
	}
	if with.signature.Len() > MaxSignature {
		return s, false
	}
	key := sha256.Sum256([]byte(with.signature.String()))
	if known, ok, _ := c.selections.PeekOrAdd(key, s); ok {
		c.selections.Get(key) // it was used
		return known, true
	}
	return s, true
}

// compileKind compiles what is selected of one type of event.
func compileKind[T any](c *compiler, o *object[T], selected ast.SelectionSet) value[T] {
	v := compile(c, o, selected)
	if v == nil {
		c.signature.WriteByte('!')
	}
	return v
}

// Personal reports whether an event's encoding depends on who subscribed.
func (s *Selection) Personal() bool { return s.personal }

// Append appends an event. If ok is false it can't be encoded, and is for gqlgen: what was appended is of no use.
func (s *Selection) Append(b []byte, event model.FeedEvent, reader Reader) (_ []byte, ok bool) {
	defer func() {
		if recover() != nil { // gqlgen will come to the same, and say so
			ok = false
		}
	}()
	var err error
	switch e := event.(type) {
	case model.FeedItemUpserted:
		b, err = encode(b, &upserted{position: e.Position, badge: e.Badge, item: item{e.Item, reader}, asOf: e.AsOf}, s.upserted)
	case model.FeedItemsPatched:
		b, err = encode(b, &e, s.patched)
	case model.FeedItemsRemoved:
		b, err = encode(b, &e, s.removed)
	case model.FeedMarkedAll:
		b, err = encode(b, &e, s.markedAll)
	case model.FeedSynced:
		b, err = encode(b, &e, s.synced)
	case model.FeedReset:
		b, err = encode(b, &e, s.reset)
	default:
		err = fmt.Errorf("encoder: no table for %T", event)
	}
	return b, err == nil
}

func encode[T any](b []byte, e *T, v value[T]) ([]byte, error) {
	if v == nil {
		return b, errNotCompiled
	}
	return v(b, e)
}

var errNotCompiled = fmt.Errorf("encoder: something was selected that can't be encoded")
