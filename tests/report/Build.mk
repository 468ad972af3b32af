test-y := test_flame test_palette test_chart_scale test_format test_curves test_page test_check_docs test_sample_words test_ledger_rows test_package test_ledger_verb
test-y += test_text_table test_matrix_report
needs-y := report matrix track config core kernels
