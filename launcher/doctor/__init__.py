"""`segda doctor`: looks at what trials need here, and says what to do about what is wrong."""
