test-y := test_schedule test_spam_rules
test-torch-y := test_adamw_kernels test_adamw test_adamw_spam test_queued_adamw test_groups
needs-y := optim model data track config core kernels
