test-y := test_flame test_palette test_chart_scale test_format test_curves test_page test_check_docs test_sample_words
needs-y := report matrix track config core kernels
