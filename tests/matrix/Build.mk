test-y := test_distributions
needs-y := matrix core
