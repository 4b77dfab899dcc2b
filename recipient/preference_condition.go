package recipient

import (
	"encoding/json"
	"errors"
	"slices"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/workflow/condition"
)

// compiled keeps the conditions of preferences by their text. Defaults have the same for everybody, and people choose theirs
// from a page.
var compiled = func() *lru.Cache[string, *condition.Condition] {
	cache, err := lru.New[string, *condition.Condition](1000)
	if err != nil {
		panic(err) // only a size below 1 is refused
	}
	return cache
}()

// maxCachedCondition bounds the text of what is kept compiled, in bytes.
const maxCachedCondition = 4 << 10

// conditionOf compiles the condition of a node; nil if it has none. path is that of the offending part.
func conditionOf(node map[string]any) (cond *condition.Condition, path string, err error) {
	source, isExpression := node[conditionKey].(string)
	group := node[conditionsKey]
	switch {
	case isExpression && group != nil:
		return nil, conditionKey, errors.New("give either condition or conditions, not both")
	case isExpression:
		cond, err = compileOnce("e"+source, func() (*condition.Condition, error) { return condition.Compile(source) })
		return cond, conditionKey, err
	case group == nil:
		return nil, "", nil
	}
	if list, ok := group.([]any); ok { // all of them
		group = map[string]any{"all": list}
	}
	text, err := json.Marshal(group)
	if err != nil {
		return nil, conditionsKey, err
	}
	cond, err = compileOnce("g"+string(text), func() (*condition.Condition, error) {
		var g condition.Group
		if err := json.Unmarshal(text, &g); err != nil {
			return nil, err
		}
		return condition.CompileGroup(g)
	})
	path = conditionsKey
	if e, ok := errors.AsType[*condition.Error](err); ok && e.Path != "" {
		path += "." + e.Path
		err = errors.New(e.Message)
	}
	return cond, path, err
}

func compileOnce(text string, compile func() (*condition.Condition, error)) (*condition.Condition, error) {
	if c, ok := compiled.Get(text); ok {
		return c, nil
	}
	c, err := compile()
	if err != nil {
		return nil, err
	}
	if slices.Contains(c.Roots(), "refs") {
		return nil, errors.New("preferences can't look at refs: they are asked of all workflows")
	}
	if len(text) <= maxCachedCondition {
		compiled.Add(text, c)
	}
	return c, nil
}

// holds evaluates the condition of a node, if it has one. What can't be evaluated is false, and detail says why. Of a false
// one, explain says what it saw.
func holds(node map[string]any, scope map[string]any, now time.Time) (ok bool, detail string, explain func() []condition.Evaluated) {
	cond, _, err := conditionOf(node)
	if err != nil { // a release became stricter
		return false, err.Error(), nil
	}
	if cond == nil {
		return true, "", nil
	}
	if ok, err = cond.Eval(scope, now); err != nil {
		detail = err.Error()
	}
	if len(detail) > maxDetail {
		detail = detail[:maxDetail]
	}
	return ok, detail, func() []condition.Evaluated { return cond.Explain(scope, now) }
}

// maxDetail bounds what a reason says, in bytes.
const maxDetail = 256

// conditionError is what is wrong with a condition.
func conditionError(err error, field string) error {
	return belfry.Errorf(belfry.Invalid, "%s", err.Error()).At("%s", field)
}
