test-y := test_distributions test_statistics
needs-y := matrix core
