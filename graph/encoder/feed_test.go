package encoder

import (
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/vektah/gqlparser/v2/ast"

	"github.com/belfryhq/belfry/graph/generated"
)

// left are the fields that gqlgen executes, because they are read by resolvers, each in its own way.
var left = map[string][]string{"User": {"channelData", "managePreferencesUrl", "preferences", "unsubscribeUrl"}}

// A field that is new in the schema is slow until it is in a table; a type that is new in an interface would be wrong.
func TestTablesFollowTheSchema(t *testing.T) {
	t.Parallel()
	schema := generated.NewExecutableSchema(generated.Config{}).Schema()
	compare(t, schema, &badge)
	compare(t, schema, &badgeEvent)
	compare(t, schema, &itemUpserted)
	compare(t, schema, &itemsPatched)
	compare(t, schema, &itemsRemoved)
	compare(t, schema, &markedAll)
	compare(t, schema, &synced)
	compare(t, schema, &reset)
	compare(t, schema, &feedItem)
	compare(t, schema, &textBlock)
	compare(t, schema, &markdownBlock)
	compare(t, schema, &buttonSetBlock)
	compare(t, schema, &button)
	compare(t, schema, &user)
	// Of the events, FeedMarkedWhere has none.
	for of, want := range map[string]int{"FeedEvent": 7, "Block": 3} {
		if n := len(schema.GetPossibleTypes(schema.Types[of])); n != want {
			t.Errorf("%s has %d types, and %d tables", of, n, want)
		}
	}
	if n := len(schema.Types["Mark"].EnumValues); n != len(marks) {
		t.Errorf("the schema has %d marks, want %d", n, len(marks))
	}
}

func compare[T any](t *testing.T, schema *ast.Schema, o *object[T]) {
	t.Helper()
	def := schema.Types[o.names[0]]
	var fields []string
	for _, f := range def.Fields {
		if len(f.Arguments) > 0 && !slices.Contains(left[def.Name], f.Name) {
			t.Errorf("%s.%s has arguments, which tables don't know", def.Name, f.Name)
		}
		fields = append(fields, f.Name)
	}
	slices.Sort(fields)
	if diff := cmp.Diff(fields, slices.Sorted(slices.Values(slices.Concat(slices.Collect(maps.Keys(o.fields)), left[def.Name])))); diff != "" {
		t.Errorf("fields of %s (-schema +table)\n%s", def.Name, diff)
	}
	names := []string{def.Name}
	for _, of := range schema.GetImplements(def) {
		names = append(names, of.Name)
	}
	if diff := cmp.Diff(slices.Sorted(slices.Values(names)), slices.Sorted(slices.Values(o.names))); diff != "" {
		t.Errorf("what a %s is (-schema +table)\n%s", def.Name, diff)
	}
}
