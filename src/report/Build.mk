list-y := format.o palette.o chart_scale.o chart_svg.o flame.o run_data.o key_figures.o curves_csv.o text_report.o \
	page_style.o page_parts.o page_html.o write_report.o ledger_rows.o ledger_matrix.o shared_files.o curate.o package.o check.o \
	text_table.o svg_document.o rows_svg.o matrix_data.o matrix_words.o matrix_tables.o matrix_graphs.o matrix_page.o \
	matrix_compare.o matrix_report.o
