package auth

import (
	"testing"

	"github.com/belfryhq/belfry/postgres/pgtest"
)

func TestStatementsPrepare(t *testing.T) {
	t.Parallel()
	pgtest.Prepare(t, map[string]string{
		"insertEnvironment":    insertEnvironment,
		"listEnvironments":     listEnvironments,
		"environmentByKey":     environmentByKey,
		"environmentByID":      environmentByID,
		"insertAPIKey":         insertAPIKey,
		"ensureDemoKey":        ensureDemoKey,
		"listAPIKeys":          listAPIKeys,
		"revokeAPIKey":         revokeAPIKey,
		"authenticateAPIKey":   authenticateAPIKey,
		"lockEnvironment":      lockEnvironment,
		"countLiveSigningKeys": countLiveSigningKeys,
		"insertSigningKey":     insertSigningKey,
		"listSigningKeys":      listSigningKeys,
		"revokeSigningKey":     revokeSigningKey,
		"liveSigningKeys":      liveSigningKeys,
	})
}
