optim-y := adamw
optim-$(CONFIG_ENABLE_SPAM) += adamw_spam
table-y := optim
list-y := schedule.o spam_rules.o
torch-y := table.o moments.o queued_adamw.o $(addsuffix .o,$(optim-y))
