test-y := test_palette test_chart_scale test_format test_curves test_page
needs-y := report track config core
