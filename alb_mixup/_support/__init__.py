"""What any part may use: checks of arguments, files, locks, progress, memory."""
