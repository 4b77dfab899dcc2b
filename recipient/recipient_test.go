package recipient

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/postgres"
)

func TestEnvironmentsAreApart(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	here, err := w.IdentifyUser(t.Context(), w.production, user("ann", map[string]any{"name": "Ann"}))
	if err != nil {
		t.Fatal(err)
	}
	if id, err := w.UserID(t.Context(), w.staging, "ann"); id != 0 || err != nil {
		t.Errorf("staging knows ann as %d, %v", id, err)
	}
	if _, err := w.UserByID(t.Context(), w.staging, here.ID); belfry.CodeOf(err) != belfry.NotFound {
		t.Errorf("staging reads ann by id: %v", err)
	}
	if _, err := w.UserByExternalID(t.Context(), w.staging, "ann"); belfry.CodeOf(err) != belfry.NotFound {
		t.Errorf("staging reads ann: %v", err)
	}
	if got, err := w.Load(t.Context(), w.staging, []belfry.RecipientID{here.ID}); len(got) != 0 || err != nil {
		t.Errorf("staging loads %v, %v", got, err)
	}
	there, err := w.IdentifyUser(t.Context(), w.staging, user("ann", map[string]any{"name": "Anna"}))
	if err != nil || there.ID == here.ID {
		t.Fatalf("staging's ann is %+v, %v", there, err)
	}
	if got, err := w.UserByID(t.Context(), w.production, here.ID); err != nil || got.Properties["name"] != "Ann" {
		t.Errorf("production's ann is now %+v, %v", got, err)
	}
	for env, want := range map[belfry.EnvironmentID]belfry.RecipientID{w.production: here.ID, w.staging: there.ID} {
		for range 2 { // from the database, then remembered
			if id, err := w.UserID(t.Context(), env, "ann"); id != want || err != nil {
				t.Errorf("in environment %d ann is %d, %v; want %d", env, id, err, want)
			}
		}
	}
}

// Ids are remembered; that somebody isn't known is not, for that can change.
func TestUserIDRemembersOnlyWhatCannotChange(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if id, err := w.UserID(t.Context(), w.production, "ann"); id != 0 || err != nil {
		t.Fatalf("an unknown user is %d, %v", id, err)
	}
	refused := errors.New("refused")
	err := postgres.InTx(t.Context(), w.pool, func(tx *postgres.Tx) error {
		if _, err := w.Identify(t.Context(), tx, w.production, []Identity{user("ann", nil)}, []string{"input"}); err != nil {
			return err
		}
		if id, err := w.UserID(t.Context(), w.production, "ann"); id != 0 || err != nil {
			t.Errorf("others see ann as %d, %v before the commit", id, err)
		}
		return refused
	})
	if !errors.Is(err, refused) {
		t.Fatal(err)
	}
	ann, err := w.IdentifyUser(t.Context(), w.production, user("ann", nil))
	if err != nil {
		t.Fatal(err)
	}
	if id, err := w.UserID(t.Context(), w.production, "ann"); id != ann.ID || err != nil {
		t.Errorf("ann is %d, %v; want %d", id, err, ann.ID)
	}
	w.pool.Close()
	if id, err := w.UserID(t.Context(), w.production, "ann"); id != ann.ID || err != nil {
		t.Errorf("ann is %d, %v without a database; want %d remembered", id, err, ann.ID)
	}
}

func TestFind(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	tenant := belfry.RecipientRef{Collection: belfry.Tenants, ExternalID: "ann"} // same id, another collection
	ids, err := w.identify(t.Context(), w.production, user("ann", nil), Identity{RecipientRef: tenant}, user("bob", nil))
	if err != nil {
		t.Fatal(err)
	}
	var got, elsewhere, none map[belfry.RecipientRef]belfry.RecipientID
	err = postgres.InTx(t.Context(), w.pool, func(tx *postgres.Tx) error {
		var err1, err2, err3 error
		got, err1 = w.Find(t.Context(), tx, w.production, []belfry.RecipientRef{belfry.User("ann"), tenant, belfry.User("ann"), belfry.User("nobody")})
		elsewhere, err2 = w.Find(t.Context(), tx, w.staging, []belfry.RecipientRef{belfry.User("ann"), tenant})
		none, err3 = w.Find(t.Context(), tx, w.production, nil)
		return errors.Join(err1, err2, err3)
	})
	if err != nil {
		t.Fatal(err)
	}
	want := map[belfry.RecipientRef]belfry.RecipientID{belfry.User("ann"): ids[belfry.User("ann")], tenant: ids[tenant]}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("found (-want +got):\n%s", diff)
	}
	if len(elsewhere) != 0 || none == nil || len(none) != 0 {
		t.Errorf("in another environment %v, of nobody %v", elsewhere, none)
	}
}

func TestLoadLeavesOutWhoIsGone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann, err := w.IdentifyUser(t.Context(), w.production, user("ann", map[string]any{"name": "Ann", "n": 1.0}))
	if err != nil {
		t.Fatal(err)
	}
	got, err := w.Load(t.Context(), w.production, []belfry.RecipientID{ann.ID, ann.ID + 100})
	if err != nil {
		t.Fatal(err)
	}
	want := map[belfry.RecipientID]*belfry.Recipient{ann.ID: {
		ID: ann.ID, RecipientRef: belfry.User("ann"), Properties: map[string]any{"name": "Ann", "n": 1.0},
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("loaded (-want +got):\n%s", diff)
	}
}

func TestUsersComeWithTheirTimes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann, err := w.IdentifyUser(t.Context(), w.production, user("ann", map[string]any{"name": "Ann"}))
	if err != nil {
		t.Fatal(err)
	}
	got, err := w.Users(t.Context(), w.production, []belfry.RecipientID{ann.ID, ann.ID + 100})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[belfry.RecipientID]*Known{ann.ID: ann}, got); diff != "" || ann.IdentifiedAt.IsZero() {
		t.Errorf("users (-want +got):\n%s", diff)
	}
	if elsewhere, err := w.Users(t.Context(), w.staging, []belfry.RecipientID{ann.ID}); len(elsewhere) != 0 || err != nil {
		t.Errorf("in another environment: %v, %v", elsewhere, err)
	}
}

// Only users are users, whatever their ids.
func TestTenantsAreNoUsers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	tenant := belfry.RecipientRef{Collection: belfry.Tenants, ExternalID: "acme"}
	ids, err := w.identify(t.Context(), w.production, Identity{RecipientRef: tenant})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.UserByID(t.Context(), w.production, ids[tenant]); belfry.CodeOf(err) != belfry.NotFound {
		t.Errorf("by id: %v", err)
	}
	if id, err := w.UserID(t.Context(), w.production, "acme"); id != 0 || err != nil {
		t.Errorf("by external id: %d, %v", id, err)
	}
}

func TestTenantIDsAreOfOneEnvironment(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	acme, globex := belfry.RecipientRef{Collection: belfry.Tenants, ExternalID: "acme"}, belfry.RecipientRef{Collection: belfry.Tenants, ExternalID: "globex"}
	known, err := w.identify(t.Context(), w.production, Identity{RecipientRef: acme}, Identity{RecipientRef: globex})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // from the database, then remembered
		got, err := w.TenantIDs(t.Context(), w.production, []string{"acme", "globex", "unknown"})
		if err != nil || len(got) != 2 || got["acme"] != known[acme] || got["globex"] != known[globex] {
			t.Errorf("production: %v, %v", got, err)
		}
	}
	if got, err := w.TenantIDs(t.Context(), w.staging, []string{"acme"}); err != nil || len(got) != 0 {
		t.Errorf("staging: %v, %v", got, err)
	}
}
