package template

import (
	"context"
	"io"
	"strconv"
	"strings"
	"sync"

	"github.com/osteele/liquid/parser"
	"github.com/osteele/liquid/render"
	"github.com/osteele/liquid/tags"
)

// state is what one rendering may still spend.
type state struct {
	ctx       context.Context
	work      int
	scanCost  int   // work of one comparison, which may look at all data
	timestamp any   // the scope's, for "now"
	failed    error // a bound that was hit while writing
}

// stateName can't be written in a template.
const stateName = "\x00state"

// scanUnit is how many bytes of data a flat comparison looks at for a unit of work.
const scanUnit = 8 << 10

func (s *state) spend(units int) error {
	if s.ctx == nil {
		return errWork
	}
	if s.work -= units; s.work < 0 {
		return errWork
	}
	return s.ctx.Err()
}

// compiler is the configuration templates are compiled with. It is only read
// after it is built.
var compiler = sync.OnceValue(func() *render.Config {
	config := render.NewConfig()
	addTags(&config)
	return &config
})

func addTags(config *render.Config) {
	tags.AddStandardTags(config)
	for _, name := range []string{"include", "render", "cycle"} {
		config.UnregisterTag(name)
	}
}

// internals compiles the nodes instrument puts into templates, under names
// that are not reachable from them.
var internals = sync.OnceValue(func() *render.Config {
	config := render.NewConfig()
	config.AddTag("spend", spendTag)
	config.AddBlock("capture").Compiler(captureBlock)
	return &config
})

// spendTag charges "nodes comparisons".
func spendTag(args string) (func(io.Writer, render.Context) error, error) {
	first, second, _ := strings.Cut(args, " ")
	nodes, err := strconv.Atoi(first)
	if err != nil {
		return nil, err
	}
	comparisons, err := strconv.Atoi(second)
	if err != nil {
		return nil, err
	}
	return func(_ io.Writer, c render.Context) error {
		s, ok := c.Get(stateName).(*state)
		if !ok {
			return errWork
		}
		return s.spend(nodes + comparisons*s.scanCost)
	}, nil
}

// captureBlock is the standard capture with a bound.
func captureBlock(node render.BlockNode) (func(io.Writer, render.Context) error, error) {
	name := strings.TrimSpace(node.Args)
	return func(_ io.Writer, c render.Context) error {
		s, ok := c.Get(stateName).(*state)
		if !ok {
			return errWork
		}
		w := &boundedWriter{limit: MaxValue, what: "a captured text", state: s}
		if err := c.RenderChildren(w); err != nil {
			return err
		}
		c.Set(name, w.text.String())
		return s.spend(1 + w.text.Len()/64)
	}, nil
}

func compileInternal(source string) render.Node {
	node, err := internals().Compile(source, parser.SourceLoc{Pathname: "template", LineNo: 1})
	if err != nil {
		panic(err) // recovered by Compile
	}
	return node.(*render.SeqNode).Children[0]
}

// instrument puts a charge in front of every sequence of nodes and bounds the
// captures. Compiled blocks keep their own slice headers, so nodes are replaced in
// place where there are any.
func instrument(root render.Node) {
	if seq, ok := root.(*render.SeqNode); ok {
		instrumentBody(seq.Children)
	}
}

func instrumentBody(body []render.Node) {
	nodes, comparisons := 0, 0
	for i, child := range body {
		nodes++
		switch n := child.(type) {
		case *render.ObjectNode:
			comparisons += countComparisons(n.Args)
			nodes += len(n.Args) / 32
		case *render.TagNode:
			comparisons += countComparisons(n.Args)
			nodes += len(n.Args) / 32
		case *render.BlockNode:
			more, weight := instrumentBlock(n)
			comparisons += more
			nodes += weight
			if n.Name == "capture" {
				body[i] = boundedCapture(n)
			}
		}
	}
	if len(body) > 0 {
		body[0] = &render.SeqNode{Children: []render.Node{charge(nodes, comparisons), body[0]}}
	}
}

// instrumentBlock returns what entering the block costs.
func instrumentBlock(n *render.BlockNode) (comparisons, nodes int) {
	comparisons, nodes = countComparisons(n.Args), len(n.Args)/32
	instrumentBody(n.Body)
	for _, clause := range n.Clauses {
		nodes += 1 + len(clause.Args)/32
		if clause.Name == "when" {
			comparisons += countWhen(clause.Args)
		} else {
			comparisons += countComparisons(clause.Args)
		}
		instrumentBody(clause.Body)
	}
	if n.Name == "for" || n.Name == "tablerow" {
		comparisons += deepComparison // objects are copied to iterate over them
		if len(n.Body) == 0 {
			n.Body = []render.Node{charge(1, 0)}
		}
	}
	return comparisons, nodes
}

func boundedCapture(n *render.BlockNode) render.Node {
	replacement := compileInternal("{% capture " + n.Args + " %}{% endcapture %}").(*render.BlockNode)
	replacement.SourceLoc = n.SourceLoc
	replacement.Body = n.Body
	return replacement
}

func charge(nodes, comparisons int) render.Node {
	return compileInternal("{% spend " + strconv.Itoa(nodes) + " " + strconv.Itoa(comparisons) + " %}")
}

// Costs of comparisons, in units of scanCost: one may look at all of the data, or
// only at the entries of a list or the text of one value.
const (
	deepComparison = 8
	flatComparison = 1
)

// countComparisons estimates what the operators of an expression cost.
func countComparisons(args string) int {
	total := 0
	for operator, flat := range map[string]int{"==": 0, "!=": 0, "contains": flatComparison} {
		rest := args
		for {
			_, after, found := strings.Cut(rest, operator)
			if !found {
				break
			}
			if rest = after; literal(after) {
				total += flat
			} else {
				total += deepComparison
			}
		}
	}
	return total
}

// literal reports whether an operand can't be a list or an object.
func literal(operand string) bool {
	operand = strings.TrimLeft(operand, " \t\n")
	if operand == "" || strings.IndexByte(`"'-0123456789`, operand[0]) >= 0 {
		return true
	}
	for _, word := range []string{"true", "false", "nil"} {
		if after, ok := strings.CutPrefix(operand, word); ok && (after == "" || !isWordByte(after[0])) {
			return true
		}
	}
	return false
}

// countWhen estimates what the values of a {% when %} cost.
func countWhen(args string) int {
	total := 0
	for value := range strings.SplitSeq(strings.ReplaceAll(args, " or ", ","), ",") {
		if !literal(value) {
			total += deepComparison
		}
	}
	return total
}

// machine is a configuration to render with whose filters charge the state of the
// one rendering that has it. The library gives filters no access to the rendering
// they run in, and building a configuration costs more than most renderings.
type machine struct {
	format Format
	config render.Config
	state  state
}

var machines = [...]*sync.Pool{
	Text: {New: func() any { return newMachine(Text) }},
	HTML: {New: func() any { return newMachine(HTML) }},
}

func newMachine(format Format) *machine {
	m := &machine{format: format, config: render.NewConfig()}
	addTags(&m.config)
	if format == HTML {
		m.config.SetAutoEscapeReplacer(render.HtmlEscaper)
	}
	addFilters(m)
	return m
}

// boundedWriter keeps at most limit bytes and fails on more. It notes the failure in
// the state, because the library panics when some nodes can't write.
type boundedWriter struct {
	text  strings.Builder
	limit int
	what  string
	state *state
}

func (w *boundedWriter) Write(p []byte) (int, error) {
	if w.text.Len()+len(p) > w.limit {
		w.state.failed = limitError(w.what + " is longer than " + strconv.Itoa(w.limit) + " bytes; print less")
		return 0, w.state.failed
	}
	return w.text.Write(p)
}
